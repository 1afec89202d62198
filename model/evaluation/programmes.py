"""Synthetic programmes of some minutes with known labels, from held-out recordings.

A programme is a sequence of items as on air: talk, songs, talk over ducked music, jingles, noise
and silence, with cuts or cross-fades. A class is active from its first to its last sample,
including fades and pauses of up to 2 s, as in `model.evaluation.conditions`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from model.corpus.concatenate import PAUSE_SECONDS
from model.mixing import EDGE_S, RAMP_S, Spans, ducking_gain, fade_in, merge_spans
from model.spec import HOP
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from model.corpus.takes import Take

# Kind of item: probability, minimum and maximum length in seconds.
ITEMS = {
    "talk": (0.30, 8.0, 38.0),
    "song": (0.25, 12.0, 38.0),
    "talk over song": (0.18, 12.0, 36.0),
    "jingle": (0.09, 3.0, 6.0),
    "noise": (0.10, 4.0, 12.0),
    "silence": (0.08, 2.5, 6.0),
}
EDGE = round(EDGE_S * RATE)
SUNG = 0.3  # share of songs with singing
CROSS_FADES = 0.4  # probability that two items overlap
SILENCE_LEVEL = 1e-4
MIN_RUN = 3 * RATE


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """A programme and its labels.

    Parameters
    ----------
    name : str
        ``programme-07``.
    samples : np.ndarray [shape=(n,), float32]
        Mono at 16 kHz, within full scale.
    speech, music : tuple of (int, int)
        Active spans, in samples, half-open, sorted and disjoint.
    groups : tuple of str
        The voices, tracks and games in it.
    """

    name: str
    samples: NDArray[np.float32]
    speech: Spans
    music: Spans
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Clip:
    """Samples of one take, from `start` on."""

    start: int
    samples: NDArray[np.float32]
    kind: str
    group: str

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


class _ClipPool:
    """Draws clips of one class; every group once, then every group again."""

    def __init__(self, takes: Sequence[Take], random: np.random.Generator) -> None:
        self._runs: dict[str, list[NDArray[np.float32]]] = {}
        for take in takes:
            for start, end in runs(take.active):
                if (end - start) * HOP >= MIN_RUN:
                    cut = take.samples[start * HOP : end * HOP]
                    self._runs.setdefault(take.group, []).append(cut)
        self._random = random
        self._waiting: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    def take(self, length: int) -> tuple[str, NDArray[np.float32]]:
        """Return a group, and a clip of it of at most `length` samples."""
        if not self._waiting:
            names = sorted(self._runs)
            self._waiting = [names[place] for place in self._random.permutation(len(names))]
        group = self._waiting.pop()
        choices = self._runs[group]
        long_enough = [run for run in choices if len(run) >= length]
        if not long_enough:
            return group, max(choices, key=len)
        run = long_enough[int(self._random.integers(len(long_enough)))]
        first = int(self._random.integers(len(run) - length + 1))
        return group, run[first : first + length]


def programmes(
    takes: Sequence[Take], *, count: int = 20, seconds: int = 180, seed: int = 9
) -> Iterator[Programme]:
    """Generate programmes.

    Parameters
    ----------
    takes : sequence of Take
        Of one split, from `model.evaluation.conditions.held_out_takes`.
    count : int >= 0
        Number of programmes.
    seconds : int >= 30
        Length of each.
    seed : int
        The same seed gives the same programmes.

    Raises
    ------
    ConfigError
        There is no speech or no music of 3 s.
    """
    random = np.random.default_rng(seed)
    pools = {
        kind: _ClipPool([take for take in takes if take.kind == kind], random)
        for kind in ("speech", "music", "singing", "noise")
    }
    for kind in ("speech", "music"):
        if not pools[kind]:
            raise ConfigError(f"no {kind} of 3 s or more to make programmes of: add recordings")
    for number in range(count):
        yield _programme(f"programme-{number:02d}", pools, seconds * RATE, random)


def runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open spans where `active` is true."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _programme(
    name: str, pools: dict[str, _ClipPool], length: int, random: np.random.Generator
) -> Programme:
    clips: list[_Clip] = []
    at, before = 0, ""
    while at < length:
        kind = _next_kind(before, random)
        _, shortest, longest = ITEMS[kind]
        item = _item(kind, int(random.uniform(shortest, longest) * RATE), pools, random)
        fade = 0
        if clips and "silence" not in (kind, before) and random.random() < CROSS_FADES:
            last = max(clips, key=lambda clip: clip.end)
            fade = int(random.uniform(0.5, 3.0) * RATE)
            fade = min(fade, len(last.samples) // 3, *(len(clip.samples) // 3 for clip in item))
            last.samples[-fade:] *= fade_in(fade)[::-1]
            for clip in item:
                if clip.start == 0:
                    clip.samples[:fade] *= fade_in(fade)
        placed = [replace(clip, start=at - fade + clip.start) for clip in item]
        clips += placed
        at, before = max(clip.end for clip in placed), kind
    mix = SILENCE_LEVEL * random.standard_normal(length).astype(np.float32)
    for clip in clips:
        cut = clip.samples[: max(0, length - clip.start)]
        mix[clip.start : clip.start + len(cut)] += cut
    return Programme(
        name,
        np.clip(mix, -1.0, 1.0),
        _active(clips, ("speech",), length),
        _active(clips, ("music", "singing"), length),
        tuple(sorted({clip.group for clip in clips if clip.group})),
    )


def _next_kind(before: str, random: np.random.Generator) -> str:
    names = [name for name in ITEMS if name != before or name in ("talk", "song")]
    odds = np.array([ITEMS[name][0] for name in names])
    return names[int(random.choice(len(names), p=odds / odds.sum()))]


def _item(
    kind: str, length: int, pools: dict[str, _ClipPool], random: np.random.Generator
) -> list[_Clip]:
    """Return the clips of one item, from sample 0 on."""

    def clip(kind: str, max_length: int, level_db: float) -> _Clip:
        group, samples = pools[kind].take(max_length)
        return _Clip(0, _fade_edges(samples * np.float32(10.0 ** (level_db / 20.0))), kind, group)

    level = float(random.uniform(-4.0, 4.0))
    song = "singing" if pools["singing"] and random.random() < SUNG else "music"
    if kind == "silence" or (kind == "noise" and not pools["noise"]):
        return [_Clip(0, np.zeros(length, np.float32), "silence", "")]
    if kind == "talk":
        return [clip("speech", length, level)]
    if kind == "noise":
        return [clip("noise", length, float(random.uniform(-15.0, 0.0)))]
    if kind in ("song", "jingle"):
        return [clip(song if kind == "song" else "music", length, level)]
    # Instrumental music: with singing under speech, the labels would be ambiguous.
    music = clip("music", length, level)
    speech = clip("speech", int(music.end * random.uniform(0.3, 0.8)), level)
    speech = replace(speech, start=int(random.integers(music.end - speech.end + 1)))
    spans = [(speech.start, speech.end)]
    ramp, depth_db = round(RAMP_S * RATE), float(random.uniform(6.0, 18.0))
    music.samples[:] *= ducking_gain(0, music.end, spans, ramp, depth_db)
    return [speech, music]


def _fade_edges(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    samples[:EDGE] *= fade_in(len(samples[:EDGE]))
    samples[-EDGE:] *= fade_in(len(samples[-EDGE:]))[::-1]
    return samples


def _active(clips: Sequence[_Clip], kinds: tuple[str, ...], length: int) -> Spans:
    spans = sorted(
        (clip.start, min(clip.end, length))
        for clip in clips
        if clip.kind in kinds and clip.start < length
    )
    return merge_spans(spans, round(PAUSE_SECONDS * RATE))
