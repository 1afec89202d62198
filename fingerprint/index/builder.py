"""Building segments in memory: from the peaks of tracks to keys and postings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.index.checks import PEAK_BLOCK
from fingerprint.index.segment import SPACE, Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

# From this number of keys on, a row for each possible key is smaller than the keys and their rows.
TABLE_FROM_KEYS = hashes.KEYS // 2


class SegmentBuilder:
    """Places tracks end to end on the frame axis of a segment."""

    def __init__(self) -> None:
        self.tracks: list[int] = []
        self.starts: list[int] = []
        self.frames: list[int] = []
        self.end = 0
        self._peaks: list[tuple[NDArray[np.uint32], NDArray[np.uint8]]] = []

    def add(
        self, track: int, length: int, frame: NDArray[np.int64], bin_: NDArray[np.int64]
    ) -> int:
        """Append a track; return its first frame.

        Parameters
        ----------
        track : int
            Its number in the catalogue.
        length : int > 0
            Frames.
        frame, bin_ : np.ndarray [shape=(n,), int64]
            Its peaks on the grid of the index, frames in [0, length] ascending.
        """
        start = self.end
        self.tracks.append(track)
        self.starts.append(start)
        self.frames.append(length)
        # 5 bytes for each peak: a large segment has 200 million.
        self._peaks.append(((frame + start).astype(np.uint32), bin_.astype(np.uint8)))
        self.end = start + length + SPACE
        return start

    def arrays(self) -> dict[str, NDArray[np.integer]]:
        """Return the arrays of a segment that do not depend on hash keys."""
        frame = np.concatenate([np.empty(0, np.uint32), *(frame for frame, _ in self._peaks)])
        bin_ = np.concatenate([np.empty(0, np.uint8), *(bin_ for _, bin_ in self._peaks)])
        edges = np.arange(0, self.end + PEAK_BLOCK, PEAK_BLOCK, dtype=np.uint32)
        return {
            "tracks": np.array(self.tracks, np.uint32),
            "starts": np.array(self.starts, np.int64),
            "frames": np.array(self.frames, np.int64),
            "peak_rows": np.searchsorted(frame, edges).astype(np.uint32),
            "peak_frames": frame.astype(np.uint8),  # modulo PEAK_BLOCK
            "peak_bins": bin_,
        }


class MemSegment:
    """The newest tracks, which are not in a segment file yet, indexed in memory."""

    def __init__(self) -> None:
        self._builder = SegmentBuilder()
        self._entries = np.empty(0, np.uint64)
        self._new: list[NDArray[np.uint64]] = []
        self._segment: Segment | None = None

    @property
    def tracks(self) -> list[int]:
        """Numbers of the tracks, in the order of adding."""
        return self._builder.tracks

    def add(
        self, track: int, length: int, frame: NDArray[np.int64], bin_: NDArray[np.int64]
    ) -> None:
        """Add a track, see :meth:`SegmentBuilder.add`."""
        start = self._builder.add(track, length, frame, bin_)
        self._new.append(to_entries(frame, bin_, start))
        self._segment = None

    def segment(self) -> Segment:
        """Return a segment of all tracks added so far."""
        if self._segment is None:
            # The sorted entries are one run, which a stable sort only merges.
            self._entries = np.sort(np.concatenate([self._entries, *self._new]), kind="stable")
            self._new = []
            keys, rows = to_rows(self._entries)
            arrays: dict[str, NDArray[np.integer]]
            arrays = {"keys": keys, "rows": rows, "postings": self._entries.astype(np.uint32)}
            path = Path(f"in memory, {len(self.tracks)} tracks")
            self._segment = Segment(path, arrays | self._builder.arrays())
        return self._segment


def to_entries(frame: NDArray[np.int64], bin_: NDArray[np.int64], start: int) -> NDArray[np.uint64]:
    """Return (key << 32 | place), sorted, of the pairs of a track that starts at frame `start`."""
    keys, place = hashes.stored_keys(frame, bin_)
    return np.sort(keys.astype(np.uint64) << np.uint64(32) | (place + start).astype(np.uint64))


def to_rows(entries: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the keys of sorted entries, and the edges of the postings of each key."""
    keys = (entries >> np.uint64(32)).astype(np.uint32)
    first = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.uint32(1)))
    return keys[first], np.append(first, len(keys)).astype(np.uint32)


def to_table(
    keys: NDArray[np.uint32], rows: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the smaller of two forms of (keys, rows): if most keys occur, rows of all keys."""
    if len(keys) < TABLE_FROM_KEYS:
        return keys, rows
    count = np.zeros(hashes.KEYS, np.uint32)
    count[keys] = np.diff(rows)
    return keys[:0], np.concatenate([rows[:1], np.cumsum(count, dtype=np.uint32)])
