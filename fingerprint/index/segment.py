"""One immutable segment of an index: sorted hash keys and their places in the tracks.

The tracks of a segment lie end to end on one frame axis, with space between them; a posting is a
frame on that axis, four bytes. Keys and postings are compressed sparse rows: the list of postings
of `keys[i]` is `postings[rows[i]:rows[i + 1]]`. A segment in which most keys occur has a row for
every key and no `keys`: that is smaller, and a key is found without a search. The peaks are stored
too (two bytes each), so that the matcher can verify candidates.

The arrays lie in memory (:mod:`fingerprint.index.builder`) or in a mapped file
(:mod:`fingerprint.index.segment_file`).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.index.checks import PEAK_BLOCK
from fingerprint.index.key_ranks import KeyRanks
from fingerprint.settings import N_BINS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    ReadLists = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.uint32]]

# Frames between two tracks, 33 s. No pair reaches from one track into the other, and no query is
# longer: the lag of a query in one track is never that in another.
SPACE = 2048
# Lists of more postings than this, on average, are copied one by one: a list then costs as much as
# 40 postings gathered by their index.
_LONG = 40


class Segment:
    """A segment of an index.

    Parameters
    ----------
    path : Path
        Its file; in memory, a unique name.
    arrays : mapping of str to np.ndarray
        ``tracks``, ``starts``, ``frames`` (a row each), ``keys``, ``rows``, ``postings``,
        ``peak_rows``, ``peak_frames``, ``peak_bins``.
    read_lists : callable, optional
        Returns the postings of lists, given where they begin and their lengths; without it, they
        are copied from the array.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, NDArray[np.integer]],
        read_lists: ReadLists | None = None,
    ) -> None:
        self.path = path
        self.tracks = arrays["tracks"]
        self.starts = arrays["starts"]
        self.frames = arrays["frames"]
        self._keys = arrays["keys"]
        self._rows = arrays["rows"]
        self._postings = arrays["postings"]
        self._peak_rows = arrays["peak_rows"]
        self._peak_frames = arrays["peak_frames"]
        self._peak_bins = arrays["peak_bins"]
        self._read_lists = read_lists

    @cached_property
    def _ranks(self) -> KeyRanks:
        return KeyRanks(self._keys)

    @property
    def size(self) -> int:
        """Postings in the segment."""
        return len(self._postings)

    @property
    def line(self) -> int:
        """Length of the frame axis, with the spaces between tracks."""
        return int(self.starts[-1] + self.frames[-1]) if len(self.starts) else 0

    def lists(self, keys: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where the lists of postings of keys begin, and their lengths.

        Parameters
        ----------
        keys : np.ndarray [shape=(n,), uint32]
            Keys, in any order. Values that are no keys have empty lists.

        Returns
        -------
        first, count : np.ndarray [shape=(n,), int64]
            For :meth:`read`.
        """
        last = len(self._rows) - 2
        if last == hashes.KEYS - 1:
            row, known = np.minimum(keys, np.uint32(last)), keys < hashes.KEYS
        elif last >= 0:
            row, known = self._ranks.find(keys)
        else:
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        first = self._rows[row].astype(np.int64)
        return first, (self._rows[row + 1] - first) * known

    def read(self, first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the postings of lists, one list after another: frames on the segment's axis."""
        if not len(count):
            return np.empty(0, np.int32)
        if self._read_lists is not None:
            return self._read_lists(first, count).view(np.int32)
        ends = np.cumsum(count)
        total = int(ends[-1])
        if total > _LONG * len(count):
            edges = zip(first.tolist(), (first + count).tolist(), strict=True)
            some = np.concatenate([self._postings[start:end] for start, end in edges])
        else:
            index = np.arange(total) + np.repeat(first - ends + count, count)
            some = self._postings[index]
        return some.view(np.int32)

    def track_at(self, place: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.intp]:
        """Return the row in `tracks` of each frame of the axis."""
        return np.searchsorted(self.starts, place, side="right") - 1

    def peaks(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (frames, bins) of the stored peaks in [start, end) of the axis."""
        blocks = len(self._peak_rows) - 1
        low = min(max(start // PEAK_BLOCK, 0), blocks)
        high = min(max(-(-end // PEAK_BLOCK), low), blocks)
        rows = self._peak_rows[low : high + 1].astype(np.int64)
        block = np.repeat(np.arange(low, high), np.diff(rows))
        some = slice(int(rows[0]), int(rows[-1]))
        frame = block * PEAK_BLOCK + self._peak_frames[some]
        inside = (frame >= start) & (frame < end)
        # A bin is above the grid only if the disk has flipped a bit.
        bins = np.minimum(self._peak_bins[some][inside], N_BINS - 1).astype(np.int64)
        return frame[inside], bins

    def entries(
        self, first_key: int, last_key: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return (key, place) of every posting with a key in [first_key, last_key)."""
        if len(self._rows) == hashes.KEYS + 1:
            a, b = min(first_key, hashes.KEYS), min(last_key, hashes.KEYS)
            named = np.arange(a, b, dtype=np.uint32)
        else:
            a, b = np.searchsorted(self._keys, (first_key, last_key)).tolist()
            named = self._keys[a:b]
        if a == b:
            return np.empty(0, np.uint32), np.empty(0, np.int64)
        rows = self._rows[a : b + 1].astype(np.int64)
        keys = np.repeat(named, np.diff(rows))
        place = self.read(rows[:1], rows[-1:] - rows[:1]).astype(np.int64)
        return keys, place
