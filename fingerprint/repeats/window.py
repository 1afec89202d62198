"""The hashes of the last days of a station: which earlier moments resemble a block.

Pairs are those of the catalogue's index, but of the strongest peaks only: about 36 a second instead
of 180. A repeat is the same recording, so a few of its pairs survive whatever was done to it, and
the alignment uses all peaks. 8 bytes a pair make 25 MB for a day.

Blocks lie in parts of 1, 8, 64, 512 or 4096 blocks, each sorted by hash. A part is complete when
the last of its blocks has passed, whether it had audio or not. So the parts are a function of the
blocks and of the last number, and a window that is read from disk answers as the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.repeats.alignment import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAN_OUT = 3
STRONG_RANK = 3  # peaks with a rank below this are paired
_GROUP = 3  # bits: 8 parts make one of the next level
_LEVELS = 4
# Times that one hash is followed back: a jingle of every quarter of an hour is there 672 times in a
# week, and its latest times suffice.
_MAX_POSTINGS = 128
_KEY_SHIFT = 32
_MAX_FRAME = 2**_KEY_SHIFT - 1
_APART = 2 * hashes.MAX_FRAMES  # frames put between blocks, so that no pair spans two


@dataclass(frozen=True, slots=True, eq=False)
class BlockPairs:
    """The pairs of one block or of many; no pair spans two blocks.

    Parameters
    ----------
    key : np.ndarray [shape=(n,), uint32]
        Hashes.
    frame : np.ndarray [shape=(n,), int64]
        Frames of the anchors.
    """

    key: NDArray[np.uint32]
    frame: NDArray[np.int64]

    @classmethod
    def of(cls, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> BlockPairs:
        """Return the pairs of strong peaks, which are in order of time."""
        apart = frame + (frame // BLOCK) * _APART
        anchor, other = hashes.pair(apart, bin_, FAN_OUT)
        key = hashes.pack(bin_[anchor], bin_[other] - bin_[anchor], frame[other] - frame[anchor])
        return cls(key, frame[anchor])


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Pairs of consecutive blocks.

    Parameters
    ----------
    level, number : int
        It has the blocks whose number divided by 8 to the power of `level` is `number`.
    entries : np.ndarray [shape=(n,), uint64], ascending
        The hash in the upper 32 bits, the frame from the part's start in the lower.
    """

    level: int
    number: int
    entries: NDArray[np.uint64]

    @property
    def start(self) -> int:
        return (self.number << (_GROUP * self.level)) * BLOCK

    @property
    def end(self) -> int:
        return ((self.number + 1) << (_GROUP * self.level)) * BLOCK


class Window:
    """The hashes of a station's last days.

    Attributes
    ----------
    bytes : int
        Memory that the hashes need.
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []  # in order of time

    @property
    def bytes(self) -> int:
        return sum(part.entries.nbytes for part in self._parts)

    def __len__(self) -> int:
        return sum(len(part.entries) for part in self._parts)

    def add(self, number: int, pairs: BlockPairs) -> None:
        """Add a block that is later than all before."""
        if len(pairs.key):
            self._parts.append(_part(0, number, pairs.key, pairs.frame))
        self._merge(number + 1)

    def load(self, pairs: BlockPairs, following: int) -> None:
        """Add many blocks at once; `following` is the number of the next block."""
        block = pairs.frame // BLOCK
        level = np.zeros(len(block), np.int64)
        for each in range(1, _LEVELS + 1):
            level += (block >> (_GROUP * each)) < (following >> (_GROUP * each))
        part = block >> (_GROUP * level)
        begins = np.diff(part, prepend=-1) != 0
        begins |= np.diff(level, prepend=-1) != 0
        edges = [*np.flatnonzero(begins).tolist(), len(block)]
        for first, last in pairwise(edges):
            key, frame = pairs.key[first:last], pairs.frame[first:last]
            self._parts.append(_part(int(level[first]), int(part[first]), key, frame))

    def drop(self, before: int) -> None:
        """Drop the parts that end before a frame."""
        self._parts = [part for part in self._parts if part.end > before]

    def look_up(self, pairs: BlockPairs, min_lag: int, max_lag: int) -> NDArray[np.int64]:
        """Return the lag of every pair of a block that was there before, some lags several times.

        Of a hash that was there more often than `_MAX_POSTINGS` times, the latest ones count.

        Parameters
        ----------
        pairs : BlockPairs
            The block.
        min_lag, max_lag : int > 0
            Nearer and more distant ones are left out.
        """
        order = np.argsort(pairs.key, kind="stable")
        key = pairs.key[order].astype(np.uint64) << np.uint64(_KEY_SHIFT)
        frame = pairs.frame[order]
        left = np.full(len(key), _MAX_POSTINGS)
        lags = [np.empty(0, np.int64)]
        latest = int(frame.max()) - min_lag if len(frame) else -1
        for part in reversed(self._parts):
            if part.start > latest:
                continue
            low, high = (
                np.searchsorted(
                    part.entries,
                    key + np.clip(frame - lag - part.start, 0, _MAX_FRAME).astype(np.uint64),
                )
                for lag in (max_lag, min_lag - 1)
            )
            count = np.minimum(high - low, left)
            left -= count
            which = np.repeat(np.arange(len(key)), count)
            ends = np.cumsum(count)
            index = np.arange(len(which)) + np.repeat(high - ends, count)
            there = (part.entries[index] & np.uint64(_MAX_FRAME)).astype(np.int64) + part.start
            lags.append(frame[which] - there)
        return np.concatenate(lags)

    def _merge(self, following: int) -> None:
        for level in range(_LEVELS):
            done = following >> (_GROUP * (level + 1))
            groups: dict[int, list[_Part]] = {}
            rest = []
            for part in self._parts:
                number = part.number >> _GROUP
                if part.level == level and number < done:
                    groups.setdefault(number, []).append(part)
                else:
                    rest.append(part)
            if groups:
                joined = [_join(level + 1, n, parts) for n, parts in groups.items()]
                self._parts = sorted(rest + joined, key=lambda part: part.start)


def _part(level: int, number: int, key: NDArray[np.uint32], frame: NDArray[np.int64]) -> _Part:
    base = (number << (_GROUP * level)) * BLOCK
    entries = key.astype(np.uint64) << np.uint64(_KEY_SHIFT)
    entries |= (frame - base).astype(np.uint64)
    entries.sort()
    return _Part(level, number, entries)


def _join(level: int, number: int, parts: list[_Part]) -> _Part:
    base = (number << (_GROUP * level)) * BLOCK
    entries = np.concatenate([part.entries + np.uint64(part.start - base) for part in parts])
    entries.sort(kind="stable")  # it merges what is sorted already
    return _Part(level, number, entries)
