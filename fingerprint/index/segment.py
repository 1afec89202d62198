"""One immutable segment of an index: sorted hash keys and their places in the tracks.

The tracks of a segment lie end to end on one frame axis, with space between them; a posting is a
frame on that axis, four bytes. Keys and postings are compressed sparse rows: the postings of
`keys[i]` are `postings[rows[i]:rows[i + 1]]`. The peaks are stored too (two bytes each), so that
the matcher can verify candidates.

The arrays lie in memory (:mod:`fingerprint.index.builder`) or in a mapped file
(:mod:`fingerprint.index.segment_file`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fingerprint.index.checks import PEAK_BLOCK
from fingerprint.settings import N_BINS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

# Postings read for one query, in all segments together. The lists of the commonest keys are
# skipped: they are most of the work and carry the least information.
MAX_QUERY_POSTINGS = 500_000


class Segment:
    """A segment of an index.

    Parameters
    ----------
    path : Path
        Its file; in memory, a unique name.
    arrays : mapping of str to np.ndarray
        ``tracks``, ``starts``, ``frames`` (a row each), ``keys``, ``rows``, ``postings``,
        ``peak_rows``, ``peak_frames``, ``peak_bins``.
    on_read : callable, optional
        Called with the number of lists of postings that were read, and their bytes.

    Attributes
    ----------
    max_postings : int
        Postings that one :meth:`look_up` may return.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, NDArray[np.integer]],
        on_read: Callable[[int, int], None] | None = None,
    ) -> None:
        self.path = path
        self.max_postings = MAX_QUERY_POSTINGS
        self.tracks = arrays["tracks"]
        self.starts = arrays["starts"]
        self.frames = arrays["frames"]
        self._keys = arrays["keys"]
        self._rows = arrays["rows"]
        self._postings = arrays["postings"]
        self._peak_rows = arrays["peak_rows"]
        self._peak_frames = arrays["peak_frames"]
        self._peak_bins = arrays["peak_bins"]
        self._on_read = on_read

    @property
    def size(self) -> int:
        """Postings in the segment."""
        return len(self._postings)

    @property
    def line(self) -> int:
        """Length of the frame axis, with the spaces between tracks."""
        return int(self.starts[-1] + self.frames[-1]) if len(self.starts) else 0

    def look_up(
        self, keys: NDArray[np.uint32], part: float = 1.0
    ) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return the postings of the keys, and the key of each.

        Above `max_postings`, only those of the rarest keys are returned, whole lists only.

        Parameters
        ----------
        keys : np.ndarray [shape=(n,), uint32]
            Keys; ascending ones are found fastest.
        part : float in (0, 1]
            Part of `max_postings` that this call may use.

        Returns
        -------
        which : np.ndarray [shape=(m,), intp]
            Index into `keys`.
        place : np.ndarray [shape=(m,), int32]
            Frame on the segment's axis.
        """
        row = np.searchsorted(self._keys, keys)
        known = np.flatnonzero(row < len(self._keys))
        known = known[self._keys[row[known]] == keys[known]]
        row = row[known]
        first = self._rows[row].astype(np.int64)
        count = self._rows[row + 1].astype(np.int64) - first
        total = int(count.sum())
        if total > self.max_postings * part:
            rarest = _rarest(count, self.max_postings * part)
            known, first, count = known[rarest], first[rarest], count[rarest]
            total = int(count.sum())
        ends = np.cumsum(count)
        index = np.arange(total) + np.repeat(first - ends + count, count)
        place = self._postings[index].view(np.int32)
        if self._on_read is not None:
            self._on_read(len(count), place.nbytes)
        return np.repeat(known, count), place

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
        a, b = np.searchsorted(self._keys, (first_key, last_key))
        rows = self._rows[a : b + 1].astype(np.int64)
        if a == b:
            return np.empty(0, np.uint32), np.empty(0, np.int64)
        keys = np.repeat(self._keys[a:b], np.diff(rows))
        place = self._postings[rows[0] : rows[-1]].astype(np.int64)
        if self._on_read is not None:
            self._on_read(1, 4 * len(place))
        return keys, place


def _rarest(count: NDArray[np.int64], max_postings: float) -> NDArray[np.intp]:
    """Return the rows of the shortest lists, with at most `max_postings` together."""
    order = np.argsort(count, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(count[order]), max_postings, side="right")]
    return np.sort(kept)


def share_budget(segments: list[Segment], max_postings: int) -> None:
    """Split the postings that one query may read over the segments, by their size."""
    total = max(sum(segment.size for segment in segments), 1)
    for segment in segments:
        segment.max_postings = max(max_postings * segment.size // total, 1)
