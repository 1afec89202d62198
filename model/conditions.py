"""Windows with known labels for validation and test: real samples, mixed as a studio would.

Nothing here is used in training. Each condition is a list of 5 s windows with the truth about
speech and music and the groups they come from; the same seed gives the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from model import noises, treatments
from model.bank import HOP, RATE, Stream, checked_recordings, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.recipe import Split

WINDOW = 5 * RATE
MUSIC_LEVELS_DB = (6, 0, -6, -10, -15, -20)


@dataclass(frozen=True, slots=True)
class Condition:
    """Windows of one kind.

    Parameters
    ----------
    name : str
        What they are.
    samples : np.ndarray [shape=(n, 80000), float32]
        Mono windows at 16 kHz.
    truth : (int, int)
        Whether there is speech, and music, in every one of them.
    groups : list of str
        The voice, track or game of each.
    """

    name: str
    samples: NDArray[np.float32]
    truth: tuple[int, int]
    groups: list[str]


def conditions(folder: Path, split: Split, *, most: int = 400, seed: int = 5) -> list[Condition]:
    """Make every condition from one split's recordings.

    Parameters
    ----------
    folder : Path
        The corpus.
    split : Split
        Whose recordings.
    most : int > 0
        Windows of a condition, at most; groups are drawn in turn, so that each counts.
    seed : int
        The same seed gives the same windows.

    Raises
    ------
    ConfigError
        The split lacks speech, music or noise.
    """
    found: dict[str, list[tuple[str, NDArray[np.float32]]]] = {}
    for stream in streams(folder, checked_recordings(folder, split), seed, treated=False):
        found.setdefault(stream.kind, []).extend(_windows(stream))
    random = np.random.default_rng(seed)
    pure = {kind: _in_turn(windows, most, random) for kind, windows in sorted(found.items())}
    missing = [kind for kind in ("speech", "music", "noise") if not pure.get(kind)]
    if missing:
        raise ConfigError(
            f"the {split} split has no {' and no '.join(missing)} of 5 s or more: add "
            "recordings of it, in groups of that split"
        )
    speech, music, noise = pure["speech"], pure["music"], pure["noise"]
    made = [
        _condition("speech", speech, (1, 0), _plain, random),
        _condition("music", music, (0, 1), _plain, random),
        _condition("noise", noise, (0, 0), _plain, random),
        _silences(random),
        _condition("speech in a room", speech, (1, 0), treatments.room, random),
        _condition("speech, noise 10 dB under", speech, (1, 0), _mixed(noise, -10.0), random),
    ]
    if pure.get("singing"):
        made.insert(2, _condition("singing", pure["singing"], (0, 1), _plain, random))
    for level in MUSIC_LEVELS_DB:
        mixed = _mixed(music, float(level))
        made.append(_condition(f"music at {level:+d} dB and speech", speech, (1, 1), mixed, random))
    for name, treatment in (("telephone", treatments.telephone), ("MP3 32 kb/s", _mp3_32),
                            ("G.726 32 kb/s", treatments.gsm)):  # fmt: skip
        made.append(_condition(f"speech, {name}", speech, (1, 0), treatment, random))
        made.append(_condition(f"music, {name}", music, (0, 1), treatment, random))
    return made


def _windows(stream: Stream) -> list[tuple[str, NDArray[np.float32]]]:
    """Cut the windows in which the class is heard all the time."""
    columns = WINDOW // HOP
    kept = []
    for start in range(0, len(stream.active) - columns + 1, columns):
        if stream.active[start : start + columns].mean() > 0.95:
            cut = stream.samples[start * HOP : (start + columns) * HOP]
            kept.append((stream.group, cut))
    return kept


def _in_turn(
    windows: Sequence[tuple[str, NDArray[np.float32]]], most: int, random: np.random.Generator
) -> list[tuple[str, NDArray[np.float32]]]:
    """Take one window of every group, then a second, until there are enough."""
    shuffled = [windows[i] for i in random.permutation(len(windows))]
    turns: dict[str, int] = {}
    ranked = []
    for number, (group, samples) in enumerate(shuffled):
        turns[group] = turns.get(group, 0) + 1
        ranked.append((turns[group], number, group, samples))
    ranked.sort(key=lambda each: each[:2])
    return [(group, samples) for _, _, group, samples in ranked[:most]]


def _condition(
    name: str,
    windows: Sequence[tuple[str, NDArray[np.float32]]],
    truth: tuple[int, int],
    change: Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]],
    random: np.random.Generator,
) -> Condition:
    """Change every window, and set it to a level between -45 and -12 dB."""
    out = []
    for _, samples in windows:
        changed = change(samples, random)
        rms = max(float(np.sqrt(np.mean(np.square(changed)))), 1e-9)
        level = 10.0 ** (random.uniform(-45.0, -12.0) / 20.0)
        out.append(np.clip(changed * np.float32(level / rms), -1.0, 1.0))
    stacked = np.stack(out) if out else np.zeros((0, WINDOW), np.float32)
    return Condition(name, stacked, truth, [group for group, _ in windows])


def _plain(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    del random
    return samples


def _mp3_32(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    del random
    return treatments.coded(samples, "mp3", 32_000)


def _mixed(
    others: Sequence[tuple[str, NDArray[np.float32]]], level_db: float
) -> Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]:
    """Add another window at a level relative to the first."""

    def change(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        other = others[int(random.integers(len(others)))][1]
        ratio = float(np.sqrt(np.mean(samples**2) / max(float(np.mean(other**2)), 1e-12)))
        return samples + other * np.float32(ratio * 10.0 ** (level_db / 20.0))

    return change


def _silences(random: np.random.Generator) -> Condition:
    """Digital silence, dither, and faint noises of every made kind."""
    windows = [np.zeros(WINDOW, np.float32)]
    for number in range(59):
        # Seeds that the training noises do not use.
        samples = noises.made_noise(WINDOW, 10_000 + number)[1]
        windows.append(samples * np.float32(10.0 ** (random.uniform(-75.0, -35.0) / 20.0)))
    names = [f"silence:{number}" for number in range(len(windows))]
    return Condition("silence and hiss", np.stack(windows), (0, 0), names)
