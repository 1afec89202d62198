"""Programmes of some minutes with known labels, spliced from held-out recordings.

A programme is a row of items as on air: talk, songs, talk over a song that is turned down,
jingles, noise, silence; they follow each other at a cut or in a cross-fade. A class is heard
from the first to the last sample of what is played of it, fades included, and through pauses of
up to 2 s, as in the windows of `model.evaluation.conditions`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from model.corpus.concatenate import PAUSE_SECONDS
from model.corpus.feature_store import HOP, RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from model.corpus.feature_store import Stream

Spans = tuple[tuple[int, int], ...]
# Kind of item: how often, and its shortest and longest in seconds.
ITEMS = {
    "talk": (0.30, 8.0, 38.0),
    "song": (0.25, 12.0, 38.0),
    "talk over song": (0.18, 12.0, 36.0),
    "jingle": (0.09, 3.0, 6.0),
    "noise": (0.10, 4.0, 12.0),
    "silence": (0.08, 2.5, 6.0),
}
EDGE = RATE // 100  # what begins or ends at once still fades for 10 ms, or it would click
SUNG = 0.3  # how many of the songs are sung
CROSS_FADES = 0.4  # how often two items overlap
RAMP = 3 * RATE // 10  # music goes down and up again over this time around speech
SILENCE_LEVEL = 1e-4
SHORTEST_RUN = 3 * RATE


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """A programme and the truth about it.

    Parameters
    ----------
    name : str
        ``programme-07``.
    samples : np.ndarray [shape=(n,), float32]
        Mono at 16 kHz, within full scale.
    speech, music : tuple of (int, int)
        Where each is heard, in samples, half-open, in order, apart from each other.
    groups : tuple of str
        The voices, tracks and games in it.
    """

    name: str
    samples: NDArray[np.float32]
    speech: Spans
    music: Spans
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """What one stream contributes: it is `heard` from `start` on, unless it is noise."""

    start: int
    samples: NDArray[np.float32]
    kind: str
    group: str

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


class _Shelf:
    """Gives out stretches of one class: every group once, then every group again."""

    def __init__(self, streams: Sequence[Stream], random: np.random.Generator) -> None:
        self._runs: dict[str, list[NDArray[np.float32]]] = {}
        for stream in streams:
            for start, end in runs(stream.active):
                if (end - start) * HOP >= SHORTEST_RUN:
                    cut = stream.samples[start * HOP : end * HOP]
                    self._runs.setdefault(stream.group, []).append(cut)
        self._random = random
        self._waiting: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    def take(self, length: int) -> tuple[str, NDArray[np.float32]]:
        """Return a group, and a stretch of it of at most `length` samples."""
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
    heard: Sequence[Stream], *, count: int = 20, seconds: int = 180, seed: int = 9
) -> Iterator[Programme]:
    """Splice programmes, one at a time.

    Parameters
    ----------
    heard : sequence of Stream
        Of one split, from `model.evaluation.conditions.held_out`.
    count : int >= 0
        How many.
    seconds : int >= 30
        How long each is.
    seed : int
        The same seed gives the same programmes.

    Raises
    ------
    ConfigError
        There is no speech or no music that lasts 3 s.
    """
    random = np.random.default_rng(seed)
    shelves = {
        kind: _Shelf([stream for stream in heard if stream.kind == kind], random)
        for kind in ("speech", "music", "singing", "noise")
    }
    for kind in ("speech", "music"):
        if not shelves[kind]:
            raise ConfigError(f"no {kind} of 3 s or more to make programmes of: add recordings")
    for number in range(count):
        yield _programme(f"programme-{number:02d}", shelves, seconds * RATE, random)


def runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where `active` is true, half-open."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _programme(
    name: str, shelves: dict[str, _Shelf], length: int, random: np.random.Generator
) -> Programme:
    layers: list[_Layer] = []
    at, before = 0, ""
    while at < length:
        kind = _next_kind(before, random)
        _, shortest, longest = ITEMS[kind]
        item = _item(kind, int(random.uniform(shortest, longest) * RATE), shelves, random)
        fade = 0
        if layers and "silence" not in (kind, before) and random.random() < CROSS_FADES:
            last = max(layers, key=lambda layer: layer.end)
            fade = int(random.uniform(0.5, 3.0) * RATE)
            fade = min(fade, len(last.samples) // 3, *(len(layer.samples) // 3 for layer in item))
            _fade(last.samples[-fade:], falling=True)
            for layer in item:
                if layer.start == 0:
                    _fade(layer.samples[:fade])
        placed = [replace(layer, start=at - fade + layer.start) for layer in item]
        layers += placed
        at, before = max(layer.end for layer in placed), kind
    mix = SILENCE_LEVEL * random.standard_normal(length).astype(np.float32)
    for layer in layers:
        cut = layer.samples[: max(0, length - layer.start)]
        mix[layer.start : layer.start + len(cut)] += cut
    return Programme(
        name,
        np.clip(mix, -1.0, 1.0),
        _heard(layers, ("speech",), length),
        _heard(layers, ("music", "singing"), length),
        tuple(sorted({layer.group for layer in layers if layer.group})),
    )


def _next_kind(before: str, random: np.random.Generator) -> str:
    names = [name for name in ITEMS if name != before or name in ("talk", "song")]
    odds = np.array([ITEMS[name][0] for name in names])
    return names[int(random.choice(len(names), p=odds / odds.sum()))]


def _item(
    kind: str, length: int, shelves: dict[str, _Shelf], random: np.random.Generator
) -> list[_Layer]:
    """Return the layers of one item, from sample 0 on."""

    def layer(shelf: str, most: int, level_db: float) -> _Layer:
        group, samples = shelves[shelf].take(most)
        return _Layer(0, _edged(samples * np.float32(10.0 ** (level_db / 20.0))), shelf, group)

    level = float(random.uniform(-4.0, 4.0))
    song = "singing" if shelves["singing"] and random.random() < SUNG else "music"
    if kind == "silence" or (kind == "noise" and not shelves["noise"]):
        return [_Layer(0, np.zeros(length, np.float32), "silence", "")]
    if kind == "talk":
        return [layer("speech", length, level)]
    if kind == "noise":
        return [layer("noise", length, float(random.uniform(-15.0, 0.0)))]
    if kind in ("song", "jingle"):
        return [layer(song if kind == "song" else "music", length, level)]
    # Music without a voice: with singing under speech two truths could be meant.
    under = layer("music", length, level)
    over = layer("speech", int(len(under.samples) * random.uniform(0.3, 0.8)), level)
    start = int(random.integers(len(under.samples) - len(over.samples) + 1))
    _duck(under.samples, start, start + len(over.samples), float(random.uniform(6.0, 18.0)))
    return [replace(over, start=start), under]


def _edged(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    _fade(samples[:EDGE])
    _fade(samples[-EDGE:], falling=True)
    return samples


def _duck(samples: NDArray[np.float32], start: int, end: int, by_db: float) -> None:
    """Turn music down around [start, end), in place."""
    now = np.arange(len(samples), dtype=np.float32)
    flank = np.minimum(now - (start - RAMP), end + RAMP - now) / RAMP
    samples *= np.asarray(10.0 ** (-by_db * np.clip(flank, 0.0, 1.0) / 20.0), np.float32)


def _fade(samples: NDArray[np.float32], *, falling: bool = False) -> None:
    """Fade in or out with a sine flank, in place: two of them keep the power."""
    rise = np.sin(np.pi / 2 * (np.arange(len(samples), dtype=np.float32) + 0.5) / len(samples))
    samples *= rise[::-1] if falling else rise


def _heard(layers: Sequence[_Layer], kinds: tuple[str, ...], length: int) -> Spans:
    spans = sorted(
        (layer.start, min(layer.end, length))
        for layer in layers
        if layer.kind in kinds and layer.start < length
    )
    return union(spans, round(PAUSE_SECONDS * RATE))


def union(spans: Sequence[tuple[int, int]], pause: int = 0) -> Spans:
    """Return the same moments as spans that are in order, and more than `pause` apart."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1] + pause:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return tuple(out)
