"""The items of synthetic programmes: talk, songs, phone-ins, adverts, jingles and the rest.

An item is a list of clips, each of one recording and one class, dated from the item's first sample.
The edges of clips that are inside an item have a name here (a pause in talk, talk over a bed);
those where two items meet are named by `model.evaluation.programmes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from model.corpus.augment import telephone
from model.mixing import EDGE_S, RAMP_S, ducking_gain, fade_in
from model.spec import HOP
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from model.corpus.takes import Take

    Samples = NDArray[np.float32]

# Kind of item: probability, minimum and maximum length in seconds. Nothing that counts lasts less
# than 2.5 s: a pause of 2 s belongs to the talk around it, and both would be true of such an item.
ITEMS = {
    "talk": (0.25, 8.0, 38.0),
    "song": (0.22, 12.0, 38.0),
    "talk over a bed": (0.14, 12.0, 36.0),
    "phone-in": (0.08, 15.0, 38.0),
    "adverts": (0.05, 12.0, 30.0),
    "jingle": (0.07, 3.0, 6.0),
    "stinger": (0.07, 2.5, 4.0),
    "noise": (0.08, 4.0, 12.0),
    "silence": (0.04, 2.5, 6.0),
}
EDGE = round(EDGE_S * RATE)
SUNG = 0.3  # share of songs with singing
LONG_PAUSES = 0.15  # share of the pauses in talk that end it
QUIET_DB = -30.0  # re a clip's RMS: quieter columns at its ends are cut
MIN_RUN = 3 * RATE


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Samples of one recording.

    Parameters
    ----------
    start : int
        Sample at which it begins.
    samples : np.ndarray [shape=(n,), float32]
        As they are mixed, with its level and its fades.
    kind : str
        Class, or 'silence'.
    group : str
        Voice, track or game.
    heard : (int, int)
        The part of `samples` that counts, half-open.
    begins, ends : str
        Name of the transition at each end; empty where an item meets the next.
    """

    start: int
    samples: Samples
    kind: str
    group: str
    heard: tuple[int, int]
    begins: str = ""
    ends: str = ""

    @property
    def end(self) -> int:
        return self.start + len(self.samples)

    @property
    def span(self) -> tuple[int, int]:
        """The samples that count, on the programme's axis."""
        return self.start + self.heard[0], self.start + self.heard[1]


class ClipPool:
    """Draws clips of one class; every group once, then every group again."""

    def __init__(self, takes: Sequence[Take], random: np.random.Generator) -> None:
        self._runs: dict[str, list[Samples]] = {}
        for take in takes:
            for start, end in runs(take.active):
                if (end - start) * HOP >= MIN_RUN:
                    cut = take.samples[start * HOP : end * HOP]
                    self._runs.setdefault(take.group, []).append(cut)
        self._random = random
        self._waiting: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    def group(self) -> str:
        """Return the next group."""
        if not self._waiting:
            names = sorted(self._runs)
            self._waiting = [names[place] for place in self._random.permutation(len(names))]
        return self._waiting.pop()

    def cut(self, group: str, length: int) -> Samples:
        """Return a clip of at most `length` samples that begins and ends with sound."""
        choices = self._runs[group]
        long_enough = [run for run in choices if len(run) >= length]
        if not long_enough:
            return trimmed(max(choices, key=len))
        run = long_enough[int(self._random.integers(len(long_enough)))]
        first = int(self._random.integers(len(run) - length + 1))
        return trimmed(run[first : first + length])


def runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open spans where `active` is true."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def trimmed(samples: Samples) -> Samples:
    """Return a copy without the columns at its ends that are below `QUIET_DB`."""
    powers = np.square(samples[: len(samples) // HOP * HOP].reshape(-1, HOP)).mean(axis=1)
    loud = np.flatnonzero(powers > powers.mean() * 10.0 ** (QUIET_DB / 10.0))
    if not len(loud):
        return samples.copy()
    return samples[loud[0] * HOP : (loud[-1] + 1) * HOP].copy()


def make_item(
    kind: str,
    length: int,
    pools: Mapping[str, ClipPool],
    level_db: float,
    random: np.random.Generator,
) -> list[Clip]:
    """Return the clips of an item, from sample 0 on.

    Parameters
    ----------
    kind : str
        A key of `ITEMS`.
    length : int > 0
        Samples; the item may become shorter where recordings are.
    pools : mapping of str to ClipPool
        For each class, its recordings; noise and singing may be empty.
    level_db : float
        Gain of the whole item.
    random : np.random.Generator
        Draws everything else.
    """
    if kind == "silence" or (kind == "noise" and not pools["noise"]):
        return [Clip(0, np.zeros(length, np.float32), "silence", "", (0, length))]
    if kind == "talk":
        return _talk(length, pools["speech"], level_db, random)
    if kind == "phone-in":
        return _phone_in(length, pools["speech"], level_db, random)
    if kind == "adverts":
        return _adverts(length, pools, level_db, random)
    if kind == "talk over a bed":
        bed_db = level_db - float(random.uniform(6.0, 18.0))
        return _over_bed(length, pools, (level_db, bed_db), (0.4, 0.8), random)
    if kind == "noise":
        return [_clip("noise", pools["noise"], length, level_db - float(random.uniform(0.0, 15.0)))]
    sung = kind == "song" and bool(pools["singing"]) and random.random() < SUNG
    # A stinger ends in its own decay, a jingle too: no fade is added to them.
    class_ = "singing" if sung else "music"
    return [_clip(class_, pools[class_], length, level_db)]


def _clip(kind: str, pool: ClipPool, length: int, level_db: float, group: str = "") -> Clip:
    group = group or pool.group()
    return _placed(0, pool.cut(group, length) * _gain(level_db), kind, group)


def _placed(start: int, samples: Samples, kind: str, group: str) -> Clip:
    samples[:EDGE] *= fade_in(len(samples[:EDGE]))
    samples[-EDGE:] *= fade_in(len(samples[-EDGE:]))[::-1]
    return Clip(start, samples, kind, group, (0, len(samples)))


def _gain(level_db: float) -> np.float32:
    return np.float32(10.0 ** (level_db / 20.0))


def _talk(length: int, pool: ClipPool, level_db: float, random: np.random.Generator) -> list[Clip]:
    """One voice in phrases, with pauses within its talk and a few that end it."""
    group, clips, at = pool.group(), list[Clip](), 0
    while at < length:
        wanted = min(int(random.uniform(3.0, 10.0) * RATE), max(length - at, MIN_RUN))
        clip = replace(_clip("speech", pool, wanted, level_db, group), start=at)
        if clips:
            clip = replace(clip, begins="pause")
            clips[-1] = replace(clips[-1], ends="pause")
        clips.append(clip)
        long_pause = random.random() < LONG_PAUSES
        at = clip.end + int(random.uniform(*((3.0, 5.0) if long_pause else (0.2, 1.5))) * RATE)
    return clips


def _phone_in(
    length: int, pool: ClipPool, level_db: float, random: np.random.Generator
) -> list[Clip]:
    """Let a voice in the studio and one on the telephone take turns."""
    studio, caller = pool.group(), pool.group()
    caller_db = level_db - float(random.uniform(0.0, 9.0))
    clips: list[Clip] = []
    at = 0
    while at < length:
        on_air = len(clips) % 2 == 0
        wanted = int(random.uniform(3.0, 9.0) * RATE)
        samples = pool.cut(studio if on_air else caller, wanted)
        if not on_air:
            samples = telephone(samples, random)
        gain = _gain(level_db if on_air else caller_db)
        clips.append(_placed(at, samples * gain, "speech", studio if on_air else caller))
        at = clips[-1].end + int(random.uniform(0.1, 0.9) * RATE)
    return clips


def _adverts(
    length: int, pools: Mapping[str, ClipPool], level_db: float, random: np.random.Generator
) -> list[Clip]:
    """Spots of 6 to 12 s, each a voice over its own music, with hard cuts between them."""
    clips: list[Clip] = []
    at = 0
    while at < length:
        spot = int(random.uniform(6.0, 12.0) * RATE)
        levels_db = level_db + 2.0, level_db - float(random.uniform(4.0, 12.0))
        parts = _over_bed(spot, pools, levels_db, (0.6, 1.0), random)
        clips += [
            replace(part, start=at + part.start, begins="adverts", ends="adverts") for part in parts
        ]
        at = max(clip.end for clip in clips)
    return clips


def _over_bed(
    length: int,
    pools: Mapping[str, ClipPool],
    levels_db: tuple[float, float],
    shares: tuple[float, float],
    random: np.random.Generator,
) -> list[Clip]:
    """Music, turned down from the first to the second level while a voice talks.

    The voice talks for a share of it between the two of `shares`. The music is instrumental: with
    singing under speech, the labels would be ambiguous.
    """
    level_db, bed_db = levels_db
    music = _clip("music", pools["music"], length, level_db)
    speech = _clip("speech", pools["speech"], int(music.end * random.uniform(*shares)), level_db)
    at = int(random.integers(max(music.end - speech.end, 0) + 1))
    speech = replace(speech, start=at, begins="talk over a bed", ends="talk over a bed")
    ramp = round(RAMP_S * RATE)
    music.samples[:] *= ducking_gain(0, music.end, [speech.span], ramp, level_db - bed_db)
    return [music, speech]
