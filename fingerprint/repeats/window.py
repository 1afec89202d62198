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
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.repeats.alignment import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

FAN_OUT = 3
STRONG_RANK = 3  # peaks with a rank below this are paired
_GROUP = 3  # bits: 8 parts make one of the next level
_LEVELS = 4
# Postings of one hash that are read from one part, the latest ones.
_MAX_POSTINGS = 32
_APART = 2 * hashes.MAX_FRAMES  # frames put between blocks, so that no pair spans two


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Pairs of consecutive blocks, sorted by hash and then by time.

    Parameters
    ----------
    level, number : int
        It has the blocks whose number divided by 8 to the power of `level` is `number`.
    keys : np.ndarray [shape=(n,), uint32]
        Hashes.
    frames : np.ndarray [shape=(n,), uint32]
        Frames of the anchors, from the part's start.
    """

    level: int
    number: int
    keys: NDArray[np.uint32]
    frames: NDArray[np.uint32]

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
        self._parts: list[_Part] = []

    @property
    def bytes(self) -> int:
        return sum(part.keys.nbytes + part.frames.nbytes for part in self._parts)

    def __len__(self) -> int:
        return sum(len(part.keys) for part in self._parts)

    def add(self, number: int, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> None:
        """Add a block: later than all before. Its strong peaks, in order of time."""
        self._parts.append(_part(0, number, frame, bin_))
        self._merge(number + 1)

    def load(self, frame: NDArray[np.int64], bin_: NDArray[np.int64], following: int) -> None:
        """Add all strong peaks of many blocks at once; `following` is the next block's number."""
        block = frame // BLOCK
        level = sum(
            ((block >> (_GROUP * k)) < (following >> (_GROUP * k))).astype(np.int64)
            for k in range(1, _LEVELS + 1)
        )
        part = block >> (_GROUP * level)
        edges = np.flatnonzero(np.diff(part, prepend=-1) | np.diff(level, prepend=-1))
        for first, last in zip(edges, [*edges[1:], len(frame)], strict=True):
            some = slice(int(first), int(last))
            self._parts.append(_part(int(level[first]), int(part[first]), frame[some], bin_[some]))

    def drop(self, before: int) -> None:
        """Drop the parts that end before a frame."""
        self._parts = [part for part in self._parts if part.end > before]

    def look_up(
        self, frame: NDArray[np.int64], bin_: NDArray[np.int64], min_lag: int, max_lag: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (frame, lag) of every pair that was there `lag` frames before.

        Parameters
        ----------
        frame, bin_ : np.ndarray [shape=(n,), int64]
            Strong peaks of a block, in order of time.
        min_lag, max_lag : int > 0
            Nearer and more distant ones are left out.
        """
        key, anchor = _pairs(frame, bin_)
        order = np.argsort(key, kind="stable")
        key, anchor = key[order], anchor[order]
        frames, lags = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for part in self._parts:
            if not len(anchor) or part.start > int(anchor.max()) - min_lag:
                continue
            low = np.searchsorted(part.keys, key, side="left")
            high = np.searchsorted(part.keys, key, side="right")
            count = np.minimum(high - low, _MAX_POSTINGS)
            which = np.repeat(np.arange(len(key)), count)
            ends = np.cumsum(count)
            index = np.arange(len(which)) - np.repeat(ends, count) + np.repeat(high, count)
            lag = anchor[which] - (part.frames[index] + np.int64(part.start))
            far = (lag >= min_lag) & (lag <= max_lag)
            frames.append(anchor[which][far])
            lags.append(lag[far])
        return np.concatenate(frames), np.concatenate(lags)

    def _merge(self, following: int) -> None:
        for level in range(_LEVELS):
            done = following >> (_GROUP * (level + 1))
            old = [p for p in self._parts if p.level == level and p.number >> _GROUP < done]
            if not old:
                continue
            groups: dict[int, list[_Part]] = {}
            for part in old:
                groups.setdefault(part.number >> _GROUP, []).append(part)
            rest = [part for part in self._parts if part not in old]
            self._parts = rest + [_join(level + 1, n, parts) for n, parts in groups.items()]
        self._parts.sort(key=lambda part: part.start)


def _part(level: int, number: int, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> _Part:
    key, anchor = _pairs(frame, bin_)
    base = (number << (_GROUP * level)) * BLOCK
    order = np.argsort(key, kind="stable")
    return _Part(level, number, key[order], (anchor - base)[order].astype(np.uint32))


def _join(level: int, number: int, parts: Iterable[_Part]) -> _Part:
    base = (number << (_GROUP * level)) * BLOCK
    some = list(parts)
    key = np.concatenate([part.keys for part in some])
    frame = np.concatenate([part.frames + np.uint32(part.start - base) for part in some])
    order = np.argsort(key, kind="stable")
    return _Part(level, number, key[order], frame[order])


def _pairs(
    frame: NDArray[np.int64], bin_: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return (hashes, frames of the anchors); no pair spans two blocks."""
    apart = frame + (frame // BLOCK) * _APART
    anchor, other = hashes.pair(apart, bin_, FAN_OUT)
    key = hashes.pack(bin_[anchor], bin_[other] - bin_[anchor], frame[other] - frame[anchor])
    return key, frame[anchor]
