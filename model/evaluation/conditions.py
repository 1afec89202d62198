"""Windows with known labels for validation and test: real samples, mixed as a studio would.

Nothing here is used in training. Each condition is a list of 5 s windows with the truth about
speech and music and the groups they come from; the same seed gives the same windows. The same
windows, at the same levels and with the same partners, appear in every condition made of them,
so that a treatment is compared with its clean original window by window.

What counts as a window of a class: in more than 95 % of its columns the class is heard, where
pauses of up to 2 s between sounds of one voice or track count as heard
(`model.corpus.feature_store` finds them). Single words with a second of silence between them are
speech by this rule.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from airsift.errors import ConfigError
from model.corpus import augment, synthetic_noise
from model.corpus.feature_store import HOP, RATE, checked_recordings, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.feature_store import Stream
    from model.corpus.sources import Split

    Samples = NDArray[np.float32]
    Change = Callable[["Cut", np.random.Generator], Samples]

WINDOW = 5 * RATE
MUSIC_LEVELS_DB = (6, 0, -6, -10, -15, -20)
SILENCE = "silence and hiss"
BANDS_HZ = (80.0, 300.0, 1000.0, 3000.0, 7000.0)
HEARD = 0.95  # share of a window's columns in which its class must be heard
SEMITONES = {"two semitones up": (49, 55), "two semitones down": (55, 49)}  # 2 ** (2 / 12)
# What a window needs of its stream, so that there is enough to speed up.
REACH = WINDOW * 55 // 49 + 1


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
    sources : list of str
        Where each comes from: a package or a manifest.
    """

    name: str
    samples: Samples
    truth: tuple[int, int]
    groups: list[str]
    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    """A window in its stream, and the level that it has in every condition.

    Parameters
    ----------
    group : str
        Voice, track or game.
    stream : np.ndarray [shape=(n,), float32]
        All that is around it.
    start : int >= 0
        Its first sample in the stream.
    level_db : float
        Its RMS level below full scale.
    source : str
        Where it comes from: a package or a manifest.
    """

    group: str
    stream: Samples
    start: int
    level_db: float
    source: str = ""

    @property
    def samples(self) -> Samples:
        """The window alone."""
        return self.stream[self.start : self.start + WINDOW]


def held_out(folder: Path, split: Split, seed: int = 5) -> list[Stream]:
    """Join one split's recordings to streams, untreated; the same seed gives the same."""
    return list(streams(folder, checked_recordings(folder, split), seed, treated=False))


def conditions(folder: Path, split: Split, *, most: int = 400, seed: int = 5) -> list[Condition]:
    """Make every condition from one split's recordings; see `conditions_of`."""
    return list(conditions_of(held_out(folder, split, seed), split, most=most, seed=seed))


def conditions_of(
    heard: Sequence[Stream],
    split: Split,
    *,
    most: int = 400,
    seed: int = 5,
    names: Collection[str] | None = None,
) -> Iterator[Condition]:
    """Make every condition, one at a time.

    Parameters
    ----------
    heard : sequence of Stream
        From `held_out`.
    split : Split
        Which split they are of, for the error.
    most : int > 0
        Windows of a condition, at most; groups are drawn in turn, so that each counts.
    seed : int
        The same seed gives the same windows.
    names : collection of str, optional
        The conditions that are wanted; all of them unless told.

    Raises
    ------
    ConfigError
        The split lacks speech, music or noise, or a codec is not installed.
    """
    found: dict[str, list[Cut]] = {}
    random = np.random.default_rng(seed)
    for stream in heard:
        found.setdefault(stream.kind, []).extend(_cuts(stream, random))
    pure = {kind: _in_turn(cuts, most, random) for kind, cuts in sorted(found.items())}
    missing = [kind for kind in ("speech", "music", "noise") if not pure.get(kind)]
    if missing:
        raise ConfigError(
            f"the {split} split has no {' and no '.join(missing)} of 6 s or more: add "
            "recordings of it, in groups of that split"
        )
    return _made(pure, seed, names)


def _made(
    pure: dict[str, list[Cut]], seed: int, names: Collection[str] | None
) -> Iterator[Condition]:
    for name, kind, truth, change in _planned(pure, seed):
        if names is None or name in names:
            # A generator of its own: what one condition draws does not change the others.
            random = np.random.default_rng([seed, zlib.crc32(name.encode())])
            cuts = pure[kind]
            windows = [_at_level(change(cut, random), cut.level_db) for cut in cuts]
            groups, sources = [cut.group for cut in cuts], [cut.source for cut in cuts]
            yield Condition(name, np.stack(windows), truth, groups, sources)
        if name == "noise" and (names is None or SILENCE in names):
            yield _silences(np.random.default_rng([seed, 0]))


def _planned(
    pure: dict[str, list[Cut]], seed: int
) -> Iterator[tuple[str, str, tuple[int, int], Change]]:
    """Yield name, kind of the windows, truth and what is done to them."""
    yield "speech", "speech", (1, 0), _plain
    yield "music", "music", (0, 1), _plain
    if pure.get("singing"):
        yield "singing", "singing", (0, 1), _plain
    yield "noise", "noise", (0, 0), _plain
    yield "speech in a room", "speech", (1, 0), _treated(augment.room)
    yield "speech, noise 10 dB under", "speech", (1, 0), _mixed(pure["noise"], -10.0, seed)
    for level in MUSIC_LEVELS_DB:
        mixed = _mixed(pure["music"], float(level), seed)
        yield f"music at {level:+d} dB and speech", "speech", (1, 1), mixed
    for name, change in TREATED.items():
        yield f"speech, {name}", "speech", (1, 0), change
        yield f"music, {name}", "music", (0, 1), change


def _cuts(stream: Stream, random: np.random.Generator) -> Iterator[Cut]:
    """Cut the windows in which the class is heard all the time."""
    columns = WINDOW // HOP
    if len(stream.samples) < REACH:
        return
    for start in range(0, len(stream.active) - columns + 1, columns):
        if stream.active[start : start + columns].mean() > HEARD:
            level_db = float(random.uniform(-45.0, -12.0))
            yield Cut(stream.group, stream.samples, start * HOP, level_db, stream.source)


def _in_turn(cuts: Sequence[Cut], most: int, random: np.random.Generator) -> list[Cut]:
    """Take one window of every group, then a second, until there are enough."""
    turns: dict[str, int] = {}
    ranked = []
    for number, place in enumerate(random.permutation(len(cuts))):
        cut = cuts[place]
        turns[cut.group] = turns.get(cut.group, 0) + 1
        ranked.append((turns[cut.group], number, cut))
    ranked.sort(key=lambda each: each[:2])
    return [cut for _, _, cut in ranked[:most]]


def _at_level(samples: Samples, level_db: float) -> Samples:
    rms = max(float(np.sqrt(np.mean(np.square(samples)))), 1e-9)
    clipped: Samples = np.clip(samples * np.float32(10.0 ** (level_db / 20.0) / rms), -1.0, 1.0)
    return clipped


def _plain(cut: Cut, random: np.random.Generator) -> Samples:
    del random
    return cut.samples


def _treated(treatment: Callable[[Samples, np.random.Generator], Samples]) -> Change:
    return lambda cut, random: treatment(cut.samples, random)


def _coded(codec: str, bits: int) -> Change:
    return lambda cut, random: augment.coded(cut.samples, codec, bits)


def _mixed(others: Sequence[Cut], level_db: float, seed: int) -> Change:
    """Add another window at a level relative to the first: the same one at every level."""
    partners = np.random.default_rng([seed, 1])

    def change(cut: Cut, random: np.random.Generator) -> Samples:
        del random
        other = others[int(partners.integers(len(others)))].samples
        ratio = float(np.sqrt(np.mean(cut.samples**2) / max(float(np.mean(other**2)), 1e-12)))
        return cut.samples + other * np.float32(ratio * 10.0 ** (level_db / 20.0))

    return change


def _at_speed(up: int, down: int) -> Change:
    """Play faster or slower, as a turntable would: pitch and tempo change together."""

    def change(cut: Cut, random: np.random.Generator) -> Samples:
        del random
        start = max(0, min(cut.start, len(cut.stream) - REACH))
        played = signal.resample_poly(cut.stream[start : start + REACH], up, down)
        cut_to_length: Samples = played[:WINDOW].astype(np.float32)
        return cut_to_length

    return change


def _equalised(cut: Cut, random: np.random.Generator) -> Samples:
    """Turn five bands, an octave wide each, up or down by up to 9 dB."""
    import torch
    from torchaudio.functional import equalizer_biquad

    samples = torch.from_numpy(cut.samples)
    for centre_hz, gain_db in zip(BANDS_HZ, random.uniform(-9, 9, 5), strict=True):
        samples = equalizer_biquad(samples, RATE, centre_hz, float(gain_db), Q=1.4)
    return samples.numpy()


def _gsm(cut: Cut, random: np.random.Generator) -> Samples:
    """Code as a mobile telephone does: GSM 06.10 full rate, 13 kb/s at 8 kHz."""
    del random
    try:
        import soundfile
    except ImportError as error:
        raise ConfigError(
            "the GSM codec is not installed: pip install 'airsift[training]'"
        ) from error
    slow = signal.resample_poly(cut.samples, 1, 2)
    peak = max(float(np.abs(slow).max()), 1e-9)
    file = io.BytesIO()
    soundfile.write(file, slow / peak * 0.9, RATE // 2, format="WAV", subtype="GSM610")
    file.seek(0)
    back = signal.resample_poly(soundfile.read(file, dtype="float32")[0], 2, 1) * (peak / 0.9)
    fitted = np.zeros(WINDOW, np.float32)
    fitted[: len(back)] = back[:WINDOW]
    return fitted


TREATED: dict[str, Change] = {
    "telephone": _treated(augment.telephone),
    "MP3 32 kb/s": _coded("mp3", 32_000),
    "GSM 06.10": _gsm,
    "Opus 16 kb/s": _coded("libopus", 16_000),
    **{name: _at_speed(up, down) for name, (up, down) in SEMITONES.items()},
    "equalised by up to 9 dB": _equalised,
}


def _silences(random: np.random.Generator) -> Condition:
    """Digital silence, dither, and faint noises of every made kind."""
    windows = [np.zeros(WINDOW, np.float32)]
    for number in range(59):
        # Seeds that the training noises do not use.
        samples = synthetic_noise.made_noise(WINDOW, 10_000 + number)[1]
        windows.append(samples * np.float32(10.0 ** (random.uniform(-75.0, -35.0) / 20.0)))
    names = [f"silence:{number}" for number in range(len(windows))]
    return Condition(SILENCE, np.stack(windows), (0, 0), names)
