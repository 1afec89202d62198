"""Programmes in which music plays under speech in bits of 1 to 10 s, and what is named in them.

::

    speech ├──────────────────────┤ ├──────────────┤├──────────────────┤
    music     ├ known ┤   ├ unknown ┤    ├ known ┤        ├─ known ─┤

Every second counts once: it is right, wrong or missed. A second has the music that covers half of
it or more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.matching.broadcast import EDGE, Library, excerpt, faded, levelled, talk
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LENGTHS_S = (1.0, 10.0)
LEVELS_DB = (-25.0, 0.0)  # of the music, relative to the speech
GAPS_S = (1.0, 6.0)  # speech only
TALK_S = (5.0, 30.0)  # of one voice
UNKNOWN = 0.25  # share of the bits
LEVEL_STEP_DB = 5
LENGTH_STEP_S = 3


@dataclass(frozen=True, slots=True)
class Bit:
    """Music under speech: samples, half-open; `track` is empty if the catalogue lacks it."""

    track: str
    start: int
    end: int
    level_db: float


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """A programme: mono samples at 16 kHz, and the music in it, in order."""

    name: str
    samples: Samples
    bits: tuple[Bit, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a programme that a matcher gave a name, in seconds."""

    start: float
    end: float
    track: str
    score: float


@dataclass(slots=True)
class Tally:
    """Seconds by result.

    Parameters
    ----------
    right, wrong, missed : int
        Named as the track that plays; named as another, or where none of the catalogue plays;
        not named, or named as another, where one plays.
    wrong_in : Counter of str
        The wrong ones by what plays.
    by_level, by_length : dict of str to (int, int)
        Right ones and all in which a track plays, by the level and the length of its bit.
    """

    right: int = 0
    wrong: int = 0
    missed: int = 0
    wrong_in: Counter[str] = field(default_factory=Counter)
    by_level: dict[str, tuple[int, int]] = field(default_factory=dict)
    by_length: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        """Share of the named seconds that are right; 1 if none is named."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / max(self.right + self.missed, 1)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(2 * self.right + self.wrong + self.missed, 1)


def backgrounds(audio: Library, count: int, minutes: float, seed: int) -> Iterator[Background]:
    """Generate programmes; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    for number in range(count):
        yield _background(audio, f"background {number + 1}", round(minutes * 60 * RATE), random)


def _background(audio: Library, name: str, length: int, random: np.random.Generator) -> Background:
    voices: list[Samples] = []
    while sum(map(len, voices)) < length:
        voice = audio.voices[int(random.integers(len(audio.voices)))]
        voices.append(talk(voice, round(random.uniform(*TALK_S) * RATE), random))
    mix = np.concatenate(voices)[:length]
    keys = sorted(audio.songs)
    bits = []
    at = round(random.uniform(*GAPS_S) * RATE)
    while True:
        track = keys[int(random.integers(len(keys)))]
        samples = audio.songs[track]
        if random.random() < UNKNOWN:
            track, samples = "", audio.unknown[int(random.integers(len(audio.unknown)))]
        music = excerpt(samples, random.uniform(*LENGTHS_S), random)
        level_db = float(random.uniform(*LEVELS_DB))
        if len(music) < LENGTHS_S[0] * RATE:  # the rest was silent
            continue
        end = at + len(music)
        if end > length:
            return Background(name, np.clip(mix, -1.0, 1.0), tuple(bits))
        mix[at:end] += faded(levelled(music, level_db), EDGE, EDGE)
        bits.append(Bit(track, at, end, level_db))
        at = end + round(random.uniform(*GAPS_S) * RATE)


def tally(programme: Background, spans: Sequence[Span]) -> Tally:
    """Compare the names of all seconds with what plays in them."""
    playing = _playing(programme)
    out = Tally()
    for bit, name in zip(playing, _names(spans, len(playing)), strict=True):
        if bit is not None and bit.track:
            right = name == bit.track
            out.right += right
            out.missed += not right
            for table, label in ((out.by_level, _level(bit)), (out.by_length, _length(bit))):
                done, total = table.get(label, (0, 0))
                table[label] = (done + right, total + 1)
            if name and not right:
                out.wrong += 1
                out.wrong_in["another track"] += 1
        elif name:
            out.wrong += 1
            out.wrong_in["speech only" if bit is None else "unknown music"] += 1
    return out


def total(tallies: Sequence[Tally]) -> Tally:
    """Return the sum over programmes."""
    out = Tally()
    for each in tallies:
        out.right += each.right
        out.wrong += each.wrong
        out.missed += each.missed
        out.wrong_in += each.wrong_in
        for mine, table in ((out.by_level, each.by_level), (out.by_length, each.by_length)):
            for label, (done, of) in table.items():
                before = mine.get(label, (0, 0))
                mine[label] = (before[0] + done, before[1] + of)
    return out


def _playing(programme: Background) -> list[Bit | None]:
    """Return what plays in each second."""
    out: list[Bit | None] = [None] * (len(programme.samples) // RATE)
    for bit in programme.bits:
        for second in range(round(bit.start / RATE), min(round(bit.end / RATE), len(out))):
            out[second] = bit
    return out


def _names(spans: Sequence[Span], seconds: int) -> list[str]:
    """Return the name of each second: of the spans over its middle, that of the best one."""
    names, best = [""] * seconds, [-np.inf] * seconds
    for span in spans:
        first, last = (max(round(edge), 0) for edge in (span.start, span.end))
        for second in range(first, min(last, seconds)):
            if span.score > best[second]:
                names[second], best[second] = span.track, span.score
    return names


def _level(bit: Bit) -> str:
    step = int(-bit.level_db // LEVEL_STEP_DB) * LEVEL_STEP_DB
    return f"{-step} to {-step - LEVEL_STEP_DB} dB"


def _length(bit: Bit) -> str:
    step = min(int((bit.end - bit.start) / RATE - 1) // LENGTH_STEP_S, 2) * LENGTH_STEP_S + 1
    return f"{step} to {step + LENGTH_STEP_S} s"
