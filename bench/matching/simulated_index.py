"""A simulated index of any size, with the key statistics and the rivals of real music.

Real music is stretched by up to 5 %, and its pairs are cut into blocks of two seconds. Random
blocks from 80 s of music make a track of four minutes, with repetitions, transposed by up to half
an octave. So every track is another one, and list lengths and chance agreements are realistic.
Transposition is in semitones, because nearly all music has the same tuning, and thereby a third of
the keys.

Ten thousand hours have 25 GB of postings, of which some hundred queries read a few per cent. So an
index is built for given keys: it holds all postings of these keys, and none of others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from copy import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.catalogue import Catalogue
from fingerprint.index import segment_file
from fingerprint.index.builder import SegmentBuilder, to_entries
from fingerprint.index.segment import Segment
from fingerprint.settings import BINS_PER_OCTAVE, HOP, N_BINS, SAMPLE_RATE

_BLOCK = 128  # frames
_SONG = 40  # blocks that lie together, 80 s: the parts a track repeats
_TRACK = 15_000  # frames, four minutes
_FRAMES_AN_HOUR = 3600 * SAMPLE_RATE / HOP
_SHIFTS = range(-BINS_PER_OCTAVE // 2, BINS_PER_OCTAVE // 2 + 1, BINS_PER_OCTAVE // 12)  # bins
_STRETCHES = (0.95, 0.975, 1.0, 1.025, 1.05)
_SEGMENT_HOURS = 1000
_RANGES = 16  # ranges of keys of a segment that are sorted one after another

Draw = tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32]]


class Blocks:
    """Blocks of two seconds of real music, stretched in several ways.

    Parameters
    ----------
    music : list of Landmarks
        Music; none of it may be queried.

    Attributes
    ----------
    wanted : np.ndarray [shape=(KEYS,), bool]
        Keys of the pairs of tracks, see :meth:`want`.
    """

    def __init__(self, music: list[Landmarks]) -> None:
        frame, bin_ = _line(music)
        self.count = int(frame[-1]) // _BLOCK - 1
        self._lengths = [round(_BLOCK * stretch) for stretch in _STRETCHES]
        self._peaks, self._pairs = [], []
        for stretch, length in zip(_STRETCHES, self._lengths, strict=True):
            moved = np.rint(frame * stretch).astype(np.int64)
            self._peaks.append(_Table(moved, bin_.astype(np.uint8), length, self.count))
            keys, place = hashes.stored_keys(moved, bin_)  # pairs reach into the next block
            self._pairs.append(_Table(place, keys, length, self.count))
        self._stored: dict[tuple[int, int], _Table] = {}
        self.wanted = np.zeros(hashes.KEYS, np.bool_)

    def rates(self) -> NDArray[np.float64]:
        """Return the expected postings of every key in an hour of simulated tracks."""
        every = np.concatenate([table.value for table in self._pairs])
        count = np.bincount(every, minlength=hashes.KEYS) / (len(_SHIFTS) * len(_STRETCHES))
        rate = np.zeros(hashes.KEYS)
        for shift in _SHIFTS:
            fits = np.flatnonzero(_fits(shift))
            rate[fits + shift] += count[fits]
        return rate / (self.count * _BLOCK / _FRAMES_AN_HOUR)

    def want(self, keys: NDArray[np.bool_]) -> None:
        """Let :meth:`track` return the pairs of some keys, and no others; call it first."""
        self.wanted = keys
        for shift in _SHIFTS:
            stored = np.zeros(hashes.KEYS, np.bool_)
            fits = np.flatnonzero(_fits(shift))
            stored[fits] = keys[fits + shift]
            for stretch, table in enumerate(self._pairs):
                self._stored[stretch, shift] = table.only(stored[table.value])

    def track(self, rng: np.random.Generator) -> Draw:
        """Return a track: (frames, bins) of its peaks, (frames, keys) of its pairs."""
        stretch = int(rng.integers(len(_STRETCHES)))
        shift = int(rng.choice(_SHIFTS))
        length = self._lengths[stretch]
        drawn = (int(rng.integers(self.count)) + rng.integers(_SONG, size=_TRACK // length)) % (
            self.count
        )
        frame, bin_ = self._peaks[stretch].draw(drawn, length)
        moved = bin_.astype(np.int16) + shift
        fits = (moved > 0) & (moved < N_BINS - 1)
        place, key = self._stored[stretch, shift].draw(drawn, length)
        return frame[fits], moved[fits].astype(np.uint8), place, key + np.uint32(shift % 2**32)


class _Table:
    """Peaks or pairs by blocks: their frames in the block, and their values."""

    def __init__(
        self, frame: NDArray[np.int64], value: NDArray[np.integer], length: int, blocks: int
    ) -> None:
        self.edges = np.searchsorted(frame, np.arange(blocks + 1) * length)
        self.place = (frame[: self.edges[-1]] % length).astype(np.uint8)
        self.value = value[: self.edges[-1]]

    def only(self, kept: NDArray[np.bool_]) -> _Table:
        table = copy(self)
        index = np.flatnonzero(kept)
        table.edges = np.searchsorted(index, self.edges)
        table.place, table.value = self.place[index], self.value[index]
        return table

    def draw(
        self, blocks: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
        """Return (frames, values) of blocks laid end to end."""
        first = self.edges[blocks]
        count = self.edges[blocks + 1] - first
        ends = np.cumsum(count)
        index = np.arange(ends[-1]) + np.repeat(first - ends + count, count)
        frame = self.place[index] + np.repeat(np.arange(len(blocks)) * length, count)
        return frame, self.value[index]


def _fits(shift: int) -> NDArray[np.bool_]:
    """Return of which keys both peaks lie on the grid after a shift of so many bins."""
    low, step, frames = hashes.unpack(np.arange(hashes.KEYS, dtype=np.uint32))
    both = np.stack([low, low + step])
    inside = (both >= 0) & (both < N_BINS) & (both + shift > 0) & (both + shift < N_BINS - 1)
    return inside.all(axis=0) & (frames > 0)


class ExpectedSegment(Segment):
    """A segment with the expected lengths of lists, that notes which keys are read.

    Parameters
    ----------
    expected : np.ndarray [shape=(KEYS,)]
        Expected postings of every key.

    Attributes
    ----------
    wanted : np.ndarray [shape=(KEYS,), bool]
        The keys that were read.
    """

    def __init__(self, expected: NDArray[np.float64]) -> None:
        # A key that is expected nowhere may still occur.
        self._expected = np.ceil(expected).astype(np.int64).clip(1)
        line = SegmentBuilder()
        line.add(1, 1, np.empty(0, np.int64), np.empty(0, np.int64))
        empty = np.empty(0, np.uint32)
        arrays = {"keys": empty, "rows": np.zeros(1, np.uint32), "postings": empty}
        super().__init__(Path("expected"), arrays | line.arrays())
        self.wanted = np.zeros(hashes.KEYS, np.bool_)

    def lists(self, keys: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        known = keys < hashes.KEYS
        return keys.astype(np.int64), self._expected[np.where(known, keys, 0)] * known

    def read(self, first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int32]:
        self.wanted[first] = True
        return np.zeros(int(count.sum()), np.int32)


def build(
    folder: Path, blocks: Blocks, hours: float, known: dict[str, Landmarks], seed: int
) -> Catalogue:
    """Build a catalogue of simulated tracks, and of real ones in a segment of their own.

    Parameters
    ----------
    folder : Path
        Folder of the catalogue.
    blocks : Blocks
        The simulated music, and the keys whose postings are stored.
    hours : float > 0
        Of simulated tracks, in segments of about a thousand hours.
    known : dict of str to Landmarks
        Real tracks by their key, as if they were added last.
    seed : int
        Of the simulated tracks.
    """
    Catalogue.create(folder).close()
    total = max(round(hours * _FRAMES_AN_HOUR / _TRACK), 1)
    segments = max(round(hours / _SEGMENT_HOURS), 1)
    edges = np.linspace(0, total, segments + 1).astype(int).tolist()
    names = [f"{number}.seg" for number in range(segments + 1)]
    for number, (first, last) in enumerate(pairwise(edges)):
        line = SegmentBuilder()
        rng = np.random.default_rng((seed, number))
        entries = _simulated(blocks, line, range(first, last), rng)
        segment_file.write(folder / "segments" / names[number], entries, line)
    line = SegmentBuilder()
    entries = _real(blocks, line, total, list(known.values()))
    segment_file.write(folder / "segments" / names[-1], entries, line)
    rows = [(n + 1, f"simulated {n}", _TRACK * HOP, f"simulated {n}") for n in range(total)]
    for number, (key, landmarks) in enumerate(known.items(), total + 1):
        rows.append((number, key, landmarks.end - landmarks.start, key))
    with sqlite3.connect(folder / "catalogue.db") as db:
        db.executemany("INSERT INTO segments VALUES (?)", [(name,) for name in names])
        empty = "'', '', '', '', ''"  # title, artist, album, isrc, label
        db.executemany(f"INSERT INTO tracks VALUES (?, ?, {empty}, ?, '', '{{}}', ?)", rows)
    db.close()
    return Catalogue.open(folder)


def _real(
    blocks: Blocks, line: SegmentBuilder, before: int, known: list[Landmarks]
) -> Iterator[NDArray[np.uint64]]:
    """Yield key << 32 | place of the wanted pairs of real tracks in order."""
    parts = []
    for number, landmarks in enumerate(known, before + 1):
        frame, bin_ = hashes.quantised(landmarks)
        length = 1 + (landmarks.end - landmarks.start) // HOP
        entries = to_entries(frame, bin_, line.add(number, length, frame, bin_))
        parts.append(entries[blocks.wanted[(entries >> np.uint64(32)).astype(np.int64)]])
    yield np.sort(np.concatenate(parts))


def _simulated(
    blocks: Blocks, line: SegmentBuilder, numbers: range, rng: np.random.Generator
) -> Iterator[NDArray[np.uint64]]:
    """Draw tracks; yield key << 32 | place of their pairs in order, no key twice."""
    parts: list[list[NDArray[np.uint64]]] = [[] for _ in range(_RANGES)]
    edges = (np.arange(1, _RANGES, dtype=np.uint64) * (hashes.KEYS // _RANGES)) << np.uint64(32)
    waiting: list[NDArray[np.uint64]] = []
    for number in numbers:
        frame, bin_, place, key = blocks.track(rng)
        start = line.add(number + 1, _TRACK, frame, bin_)
        waiting.append(key.astype(np.uint64) << np.uint64(32) | (place + start).astype(np.uint64))
        if len(waiting) == 256 or number == numbers[-1]:
            entries = np.sort(np.concatenate(waiting))
            waiting.clear()
            cuts = np.searchsorted(entries, edges)
            for part, some in zip(parts, np.split(entries, cuts), strict=True):
                part.append(some)
    for part in parts:
        yield np.sort(np.concatenate(part), kind="stable")
        part.clear()


def _line(music: list[Landmarks]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (frames, bins) of the stored landmarks of all music, one after another."""
    frames, bins, end = [], [], 0
    for landmarks in music:
        frame, bin_ = hashes.quantised(landmarks)
        frames.append(frame + end)
        bins.append(bin_)
        end += 1 + (landmarks.end - landmarks.start) // HOP
    return np.concatenate(frames), np.concatenate(bins)
