"""One immutable piece of an index: sorted hash keys and where in the tracks they occur.

The tracks of a segment lie end to end on one line of frames, with a space between; a posting is
a place on that line, four bytes. Keys and postings are compressed sparse rows: the postings of
`keys[i]` are `postings[rows[i]:rows[i + 1]]`. The peaks themselves are kept too (two bytes
each), for the matcher to check a guess against.

The file is a page of header, then arrays. Everything is read through a memory map, so opening
costs nothing and processes share the pages.
"""

from __future__ import annotations

import json
import mmap
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.errors import CatalogueError
from fingerprint import settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"airsift segment\n"
HEADER = 4096  # bytes
# Peaks are addressed by blocks of this many frames, so that a frame inside one is one byte.
PEAK_BLOCK = 256


class Segment:
    """A segment file, open for reading.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    CatalogueError
        If it is not a segment, is cut short, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = read_header(path)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        arrays = {name: self._array(name) for name in self.header["arrays"]}
        self.tracks: NDArray[np.uint32] = arrays["tracks"]
        self.starts: NDArray[np.int64] = arrays["starts"]
        self.frames: NDArray[np.int64] = arrays["frames"]
        self._keys: NDArray[np.uint32] = arrays["keys"]
        self._rows: NDArray[np.uint32] = arrays["rows"]
        self._postings: NDArray[np.uint32] = arrays["postings"]
        self._peak_rows: NDArray[np.uint32] = arrays["peak_rows"]
        self._peak_frames: NDArray[np.uint8] = arrays["peak_frames"]
        self._peak_bins: NDArray[np.uint8] = arrays["peak_bins"]

    @property
    def size(self) -> int:
        """Postings in the segment."""
        return len(self._postings)

    def look_up(self, keys: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return every posting of the keys, and which key each belongs to.

        Parameters
        ----------
        keys : np.ndarray [shape=(n,), uint32]
            Keys; ascending ones are found fastest.

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
        ends = np.cumsum(count)
        total = int(ends[-1]) if len(ends) else 0
        index = np.arange(total) + np.repeat(first - ends + count, count)
        return np.repeat(known, count), self._postings[index].view(np.int32)

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
        return frame[inside], self._peak_bins[some][inside].astype(np.int64)

    def entries(
        self, first_key: int, last_key: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return (key, place) of every posting with a key in [first_key, last_key)."""
        a, b = np.searchsorted(self._keys, (first_key, last_key))
        rows = self._rows[a : b + 1].astype(np.int64)
        if a == b:
            return np.empty(0, np.uint32), np.empty(0, np.int64)
        keys = np.repeat(self._keys[a:b], np.diff(rows))
        return keys, self._postings[rows[0] : rows[-1]].astype(np.int64)

    def verify(self) -> None:
        """Read the whole file and compare it with the sums in its header.

        Raises
        ------
        CatalogueError
            Naming the array that is not as it was written.
        """
        for name, about in self.header["arrays"].items():
            found = zlib.crc32(self._array(name).tobytes())
            if found != about["crc32"]:
                raise CatalogueError(
                    f"{self.path}: {name} has checksum {found:08x}, its header says "
                    f"{about['crc32']:08x}; the file is damaged: delete the catalogue's folder "
                    "and add the tracks again"
                )

    def _array(self, name: str) -> Any:
        about = self.header["arrays"][name]
        return np.frombuffer(self._map, np.dtype(about["dtype"]), about["count"], about["offset"])


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a segment file, checked against this version and the file's size."""
    with path.open("rb") as file:
        page = file.read(HEADER)
    if not page.startswith(MAGIC):
        raise CatalogueError(
            f"{path}: begins with {page[:16]!r}, not {MAGIC!r}: it is no segment of a catalogue; "
            "take the file out of the folder"
        )
    try:
        header: dict[str, Any] = json.loads(page[len(MAGIC) :].rstrip(b"\0"))
    except ValueError as error:
        raise CatalogueError(
            f"{path}: its header is not readable ({error}); the file is damaged: delete the "
            "catalogue's folder and add the tracks again"
        ) from error
    settings.check(header["settings"], str(path))
    size = path.stat().st_size
    if size != header["size"]:
        raise CatalogueError(
            f"{path}: has {size} bytes, its header says {header['size']}: the file was cut short; "
            "delete the catalogue's folder and add the tracks again"
        )
    return header
