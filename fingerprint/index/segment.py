"""One immutable piece of an index: sorted hash keys and where in the tracks they occur.

The tracks of a segment lie end to end on one line of frames, with a space between; a posting is
a place on that line, four bytes. Keys and postings are compressed sparse rows: the postings of
`keys[i]` are `postings[rows[i]:rows[i + 1]]`. The peaks themselves are kept too (two bytes
each), for the matcher to check a guess against.

The arrays lie in memory or in a mapped file: :mod:`fingerprint.index.builder` and
:mod:`fingerprint.index.segment_reader` make segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fingerprint.index.checks import PEAK_BLOCK
from fingerprint.settings import N_BINS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

# Postings read for one question, of all segments together. The lists of the commonest keys are
# left out: they are most of the work and say least about where the query is from.
MOST_POSTINGS = 500_000


class Segment:
    """A piece of an index.

    Parameters
    ----------
    path : Path
        Its file; of one in memory, a name that no other segment has.
    arrays : mapping of str to np.ndarray
        ``tracks``, ``starts``, ``frames`` (a row each), ``keys``, ``rows``, ``postings``,
        ``peak_rows``, ``peak_frames``, ``peak_bins``.
    touched : callable, optional
        Told how many lists of postings were read, and how many bytes.

    Attributes
    ----------
    most : int
        Postings that one :meth:`look_up` may return.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, NDArray[Any]],
        touched: Callable[[int, int], None] | None = None,
    ) -> None:
        self.path = path
        self.most = MOST_POSTINGS
        self.tracks: NDArray[np.uint32] = arrays["tracks"]
        self.starts: NDArray[np.int64] = arrays["starts"]
        self.frames: NDArray[np.int64] = arrays["frames"]
        self._keys: NDArray[np.uint32] = arrays["keys"]
        self._rows: NDArray[np.uint32] = arrays["rows"]
        self._postings: NDArray[np.uint32] = arrays["postings"]
        self._peak_rows: NDArray[np.uint32] = arrays["peak_rows"]
        self._peak_frames: NDArray[np.uint8] = arrays["peak_frames"]
        self._peak_bins: NDArray[np.uint8] = arrays["peak_bins"]
        self._touched = touched

    @property
    def size(self) -> int:
        """Postings in the segment."""
        return len(self._postings)

    @property
    def line(self) -> int:
        """Frames of all tracks together, with the spaces between them."""
        return int(self.starts[-1] + self.frames[-1]) if len(self.starts) else 0

    def look_up(
        self, keys: NDArray[np.uint32], part: float = 1.0
    ) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return the postings of the keys, and which key each belongs to.

        Where there are more than `most`, those of the rarest keys, whole lists only.

        Parameters
        ----------
        keys : np.ndarray [shape=(n,), uint32]
            Keys; ascending ones are found fastest.
        part : float in (0, 1]
            How much of `most` this call may use.

        Returns
        -------
        which : np.ndarray [shape=(m,), intp]
            Index into `keys`.
        place : np.ndarray [shape=(m,), int32]
            Frame on the segment's line.
        """
        row = np.searchsorted(self._keys, keys)
        known = np.flatnonzero(row < len(self._keys))
        known = known[self._keys[row[known]] == keys[known]]
        row = row[known]
        first = self._rows[row].astype(np.int64)
        count = self._rows[row + 1].astype(np.int64) - first
        total = int(count.sum())
        if total > self.most * part:
            rarest = _rarest(count, self.most * part)
            known, first, count = known[rarest], first[rarest], count[rarest]
            total = int(count.sum())
        ends = np.cumsum(count)
        index = np.arange(total) + np.repeat(first - ends + count, count)
        place = self._postings[index].view(np.int32)
        if self._touched is not None:
            self._touched(len(count), place.nbytes)
        return np.repeat(known, count), place

    def track_at(self, place: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.intp]:
        """Return which of `tracks` each frame of the line belongs to."""
        return np.searchsorted(self.starts, place, side="right") - 1

    def peaks(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (frames, bins) of the stored peaks in [start, end) of the line."""
        blocks = len(self._peak_rows) - 1
        low = min(max(start // PEAK_BLOCK, 0), blocks)
        high = min(max(-(-end // PEAK_BLOCK), low), blocks)
        rows = self._peak_rows[low : high + 1].astype(np.int64)
        block = np.repeat(np.arange(low, high), np.diff(rows))
        some = slice(int(rows[0]), int(rows[-1]))
        frame = block * PEAK_BLOCK + self._peak_frames[some]
        inside = (frame >= start) & (frame < end)
        # No bin is above the grid, unless the disk has flipped a bit.
        bins = np.minimum(self._peak_bins[some][inside], N_BINS - 1).astype(np.int64)
        return frame[inside], bins

    def entries(
        self, first_key: int, last_key: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return (key, place) of every posting with a key in [first_key, last_key)."""
        a, b = np.searchsorted(self._keys, (first_key, last_key))
        rows = self._rows[a : b + 1].astype(np.int64)
        if a == b:
            return np.empty(0, np.uint32), np.empty(0, np.int64)
        keys = np.repeat(self._keys[a:b], np.diff(rows))
        place = self._postings[rows[0] : rows[-1]].astype(np.int64)
        if self._touched is not None:
            self._touched(1, 4 * len(place))
        return keys, place


def _rarest(count: NDArray[np.int64], most: float) -> NDArray[np.intp]:
    """Return which lists to read, in their order: the shortest, `most` postings together."""
    order = np.argsort(count, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(count[order]), most, side="right")]
    return np.sort(kept)


def share_budget(segments: list[Segment], most: int) -> None:
    """Give each segment its part of the postings that one question may read."""
    total = max(sum(segment.size for segment in segments), 1)
    for segment in segments:
        segment.most = max(most * segment.size // total, 1)
