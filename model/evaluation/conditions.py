"""Conditions: 5 s windows with known labels, for validation and test but never for training.

The same seed gives the same windows. The windows of a class are in one order, which takes its
sources in turn, and within a source its groups in turn. The clean condition has the first of each
source; mixtures and degradations have the first of that list, with the same levels and the same
partners, so that each degraded window has a clean counterpart.

A window belongs to a class that is active in more than 95 % of its columns; pauses of up to 2 s
count as active (see `model.corpus.concatenate`).
"""

from __future__ import annotations

import io
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from airsift.errors import ConfigError
from model.corpus import augment, synthetic_noise
from model.corpus.takes import split_recordings, takes
from model.spec import HOP, WINDOW_COLUMNS
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.sources import Split
    from model.corpus.takes import Take

    Samples = NDArray[np.float32]
    Change = Callable[["Window", np.random.Generator], Samples]

WINDOW = WINDOW_COLUMNS * HOP
MUSIC_LEVELS_DB = (6, 0, -5, -10, -15, -20)
PURE = ("speech", "music", "singing", "noise")
BANDS_HZ = (80.0, 300.0, 1000.0, 3000.0, 7000.0)
MIN_ACTIVE = 0.95  # share of active columns in a window of a class
SEMITONES = {"two semitones up": (49, 55), "two semitones down": (55, 49)}  # 2 ** (2 / 12)
# Samples of the take that a window needs when it is played faster.
REACH = WINDOW * 55 // 49 + 1


@dataclass(frozen=True, slots=True)
class Condition:
    """Windows of one condition.

    Parameters
    ----------
    name : str
        Name of the condition.
    samples : np.ndarray [shape=(n, 80000), float32]
        Mono windows at 16 kHz.
    truth : (int, int)
        Speech and music in every window, 0 or 1.
    groups : list of str
        Voice, track or game of each window.
    sources : list of str
        Package, repository or manifest of each window; empty if unknown.
    categories : list of str
        Fine kind of each window, such as 'baby cry'; empty if unknown.
    """

    name: str
    samples: Samples
    truth: tuple[int, int]
    groups: list[str]
    sources: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a take, and its level in all conditions.

    Parameters
    ----------
    group : str
        Voice, track or game.
    take : np.ndarray [shape=(n,), float32]
        All that is around it.
    start : int >= 0
        First sample of the window in the take.
    level_db : float
        RMS level in dB re full scale.
    source : str
        Package, repository or manifest.
    category : str
        Fine kind.
    """

    group: str
    take: Samples
    start: int
    level_db: float
    source: str = ""
    category: str = ""

    @property
    def samples(self) -> Samples:
        """Samples of the window."""
        return self.take[self.start : self.start + WINDOW]


def held_out_takes(folder: Path, split: Split, seed: int = 5) -> list[Take]:
    """Return the takes of a split, not augmented; the same seed gives the same takes."""
    return list(takes(folder, split_recordings(folder, split), seed, augmented=False))


def conditions(
    folder: Path,
    split: Split,
    *,
    max_windows: int = 400,
    max_per_source: int | None = None,
    seed: int = 5,
    names: Collection[str] | None = None,
) -> list[Condition]:
    """Return conditions of a split; see `conditions_of`."""
    return list(
        conditions_of(
            held_out_takes(folder, split, seed),
            split,
            max_windows=max_windows,
            max_per_source=max_per_source,
            seed=seed,
            names=names,
        )
    )


def conditions_of(
    held_out: Sequence[Take],
    split: Split,
    *,
    max_windows: int = 400,
    max_per_source: int | None = None,
    seed: int = 5,
    names: Collection[str] | None = None,
) -> Iterator[Condition]:
    """Generate the conditions.

    Parameters
    ----------
    held_out : sequence of Take
        From `held_out_takes`.
    split : Split
        Their split, for the error.
    max_windows : int > 0
        Maximum number of windows of a condition.
    max_per_source : int > 0, optional
        Maximum number of windows of one source in a clean condition, which `max_windows` then
        does not limit.
    seed : int
        The same seed gives the same windows.
    names : collection of str, optional
        Names of the conditions to generate; default: all.

    Raises
    ------
    ConfigError
        The split has no speech, music or noise, or a codec is not installed.
    """
    found: dict[str, list[Window]] = {}
    random = np.random.default_rng(seed)
    for take in held_out:
        found.setdefault(take.kind, []).extend(_windows(take, random))
    pure = {
        kind: _in_turn(windows, max_per_source or max_windows, random)
        for kind, windows in sorted(found.items())
    }
    missing = [kind for kind in ("speech", "music", "noise") if not pure.get(kind)]
    if missing:
        raise ConfigError(
            f"the {split} split has no {' and no '.join(missing)} of 6 s or more: add "
            "recordings of it, in groups of that split"
        )
    some = {kind: windows[:max_windows] for kind, windows in pure.items()}
    clean = pure if max_per_source else some
    return (
        make(name) for name, make in _recipes(clean, some, seed) if names is None or name in names
    )


def _recipes(
    clean: Mapping[str, list[Window]], pure: Mapping[str, list[Window]], seed: int
) -> Iterator[tuple[str, Callable[[str], Condition]]]:
    """Yield the name of each condition and a function that generates it."""

    def of(
        kind: str, truth: tuple[int, int], change: Change = _plain
    ) -> Callable[[str], Condition]:
        windows = clean if change is _plain else pure
        return lambda name: _transformed(name, windows[kind], truth, change, seed)

    yield "speech", of("speech", (1, 0))
    yield "music", of("music", (0, 1))
    if clean.get("singing"):
        yield "singing", of("singing", (0, 1))
    yield "noise", of("noise", (0, 0))
    yield "silence and hiss", partial(_silences, seed=seed)
    yield "speech in a room", of("speech", (1, 0), _augmented(augment.room))
    yield "speech, noise 10 dB under", of("speech", (1, 0), _mixed(pure["noise"], -10.0, seed))
    for level in MUSIC_LEVELS_DB:
        mixed = _mixed(pure["music"], float(level), seed)
        yield f"music at {level:+d} dB and speech", of("speech", (1, 1), mixed)
    for name, change in DEGRADATIONS.items():
        yield f"speech, {name}", of("speech", (1, 0), change)
        yield f"music, {name}", of("music", (0, 1), change)


def _transformed(
    name: str, windows: Sequence[Window], truth: tuple[int, int], change: Change, seed: int
) -> Condition:
    # A generator for each condition, independent of which others are generated.
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    samples = [_at_level(change(window, random), window.level_db) for window in windows]
    return Condition(
        name,
        np.stack(samples),
        truth,
        [each.group for each in windows],
        [each.source for each in windows],
        [each.category for each in windows],
    )


def _windows(take: Take, random: np.random.Generator) -> Iterator[Window]:
    """Yield the windows of a take in which its class is active."""
    columns = WINDOW // HOP
    if len(take.samples) < REACH:
        return
    for start in range(0, len(take.active) - columns + 1, columns):
        if take.active[start : start + columns].mean() > MIN_ACTIVE:
            level_db = float(random.uniform(-45.0, -12.0))
            yield Window(
                take.group, take.samples, start * HOP, level_db, take.source, take.category
            )


def _in_turn(
    windows: Sequence[Window], max_per_source: int, random: np.random.Generator
) -> list[Window]:
    """Order windows: the sources in turn, in each source its groups in turn, up to a maximum."""
    in_group: Counter[tuple[str, str]] = Counter()
    by_source: dict[str, list[tuple[int, int]]] = {}
    for place in random.permutation(len(windows)).tolist():
        window = windows[place]
        key = (window.source, window.group)
        # The sort below is stable: windows of one rank keep their random order.
        by_source.setdefault(window.source, []).append((in_group[key], place))
        in_group[key] += 1
    turns = [
        (turn, source, place)
        for source, ranked in sorted(by_source.items())
        for turn, (_, place) in enumerate(sorted(ranked, key=lambda each: each[0])[:max_per_source])
    ]
    turns.sort(key=lambda each: each[:2])
    return [windows[place] for _, _, place in turns]


def _at_level(samples: Samples, level_db: float) -> Samples:
    rms = max(float(np.sqrt(np.mean(np.square(samples)))), 1e-9)
    clipped: Samples = np.clip(samples * np.float32(10.0 ** (level_db / 20.0) / rms), -1.0, 1.0)
    return clipped


def _plain(window: Window, random: np.random.Generator) -> Samples:
    del random
    return window.samples


def _augmented(augmentation: Callable[[Samples, np.random.Generator], Samples]) -> Change:
    return lambda window, random: augmentation(window.samples, random)


def _coded(codec: str, bits: int) -> Change:
    return lambda window, random: augment.coded(window.samples, codec, bits)


def _mixed(others: Sequence[Window], level_db: float, seed: int) -> Change:
    """Add another window at a relative level; the partner is the same at every level."""
    partners = np.random.default_rng([seed, 1])

    def change(window: Window, random: np.random.Generator) -> Samples:
        del random
        other = others[int(partners.integers(len(others)))].samples
        ratio = float(np.sqrt(np.mean(window.samples**2) / max(float(np.mean(other**2)), 1e-12)))
        return window.samples + other * np.float32(ratio * 10.0 ** (level_db / 20.0))

    return change


def _at_speed(up: int, down: int) -> Change:
    """Play faster or slower: pitch and tempo change together, as on a turntable."""

    def change(window: Window, random: np.random.Generator) -> Samples:
        del random
        start = max(0, min(window.start, len(window.take) - REACH))
        played = signal.resample_poly(window.take[start : start + REACH], up, down)
        trimmed: Samples = played[:WINDOW].astype(np.float32)
        return trimmed

    return change


def _equalised(window: Window, random: np.random.Generator) -> Samples:
    """Boost or cut five octave bands by up to 9 dB."""
    import torch
    from torchaudio.functional import equalizer_biquad

    samples = torch.from_numpy(window.samples)
    for centre_hz, gain_db in zip(BANDS_HZ, random.uniform(-9, 9, 5), strict=True):
        samples = equalizer_biquad(samples, RATE, centre_hz, float(gain_db), Q=1.4)
    return samples.numpy()


def _gsm(window: Window, random: np.random.Generator) -> Samples:
    """Code with GSM 06.10 full rate, 13 kb/s at 8 kHz."""
    del random
    try:
        import soundfile
    except ImportError as error:
        raise ConfigError(
            "the GSM codec is not installed: pip install 'airsift[training]'"
        ) from error
    slow = signal.resample_poly(window.samples, 1, 2)
    peak = max(float(np.abs(slow).max()), 1e-9)
    file = io.BytesIO()
    soundfile.write(file, slow / peak * 0.9, RATE // 2, format="WAV", subtype="GSM610")
    file.seek(0)
    back = signal.resample_poly(soundfile.read(file, dtype="float32")[0], 2, 1) * (peak / 0.9)
    fitted = np.zeros(WINDOW, np.float32)
    fitted[: len(back)] = back[:WINDOW]
    return fitted


DEGRADATIONS: dict[str, Change] = {
    "telephone": _augmented(augment.telephone),
    "MP3 32 kb/s": _coded("mp3", 32_000),
    "GSM 06.10": _gsm,
    "Opus 16 kb/s": _coded("libopus", 16_000),
    **{name: _at_speed(up, down) for name, (up, down) in SEMITONES.items()},
    "equalised by up to 9 dB": _equalised,
}


def _silences(name: str, seed: int) -> Condition:
    """Return digital silence and faint synthetic noise of all kinds."""
    random = np.random.default_rng([seed, 0])
    windows = [np.zeros(WINDOW, np.float32)]
    for number in range(59):
        # Seeds that the training does not use.
        samples = synthetic_noise.make_noise(WINDOW, 10_000 + number)[1]
        windows.append(samples * np.float32(10.0 ** (random.uniform(-75.0, -35.0) / 20.0)))
    groups = [f"silence:{number}" for number in range(len(windows))]
    sources = ["synthetic"] * len(windows)
    return Condition(name, np.stack(windows), (0, 0), groups, sources, [name] * len(windows))
