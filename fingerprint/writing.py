"""Writing segments: of one new track, or of several segments merged into one."""

from __future__ import annotations

import json
import os
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fingerprint import pairs, settings
from fingerprint.segment import HEADER, MAGIC, PEAK_BLOCK, Segment

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fingerprint.landmarks import Landmarks

# Frames between two tracks of the line: no pair of the one reaches into the other.
_SPACE = 2 * pairs.MAX_FRAMES
# Postings sorted at once while merging: 64 MB.
_AT_ONCE = 4_000_000

_LAST_KEY = 2 ** (pairs.BIN_BITS + pairs.TIME_BITS + pairs.STEP_BITS)


def write_track(path: Path, track: int, landmarks: Landmarks) -> None:
    """Write the segment of one track; the file is whole and on disk, or not there."""
    keys, frames = pairs.to_store(landmarks)
    peak_frames, peak_bins = pairs.on_grid(landmarks)
    length = 1 + (landmarks.end - landmarks.start) // settings.HOP
    entries = np.sort(keys.astype(np.uint64) << np.uint64(32) | frames.astype(np.uint64))
    lines = _Lines()
    lines.add(track, length, peak_frames, peak_bins)
    _write(path, iter([entries]), lines)


def write_merged(path: Path, segments: Sequence[Segment], keep: Container[int]) -> None:
    """Write one segment from several, without the tracks that are not in `keep`."""
    lines = _Lines()
    moved = []  # of each segment: what to add to a place, by track; far below zero to drop it
    for segment in segments:
        move = np.full(len(segment.tracks), -(2**62), np.int64)
        for index, track in enumerate(segment.tracks.tolist()):
            if track in keep:
                start, length = int(segment.starts[index]), int(segment.frames[index])
                frame, bin_ = segment.peaks(start, start + length)
                move[index] = lines.add(track, length, frame - start, bin_) - start
        moved.append(move)
    _write(path, _merge(segments, moved), lines)


class _Lines:
    """The line of frames a segment's tracks lie on, as it is put together."""

    def __init__(self) -> None:
        self.tracks: list[int] = []
        self.starts: list[int] = []
        self.frames: list[int] = []
        self.end = 0
        self._peaks: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(
        self, track: int, length: int, frame: NDArray[np.int64], bin_: NDArray[np.int64]
    ) -> int:
        """Put a track at the end; return where it starts."""
        start = self.end
        self.tracks.append(track)
        self.starts.append(start)
        self.frames.append(length)
        self._peaks.append((frame + start, bin_))
        self.end = start + length + _SPACE
        return start

    def arrays(self) -> dict[str, NDArray[Any]]:
        frame = np.concatenate([np.empty(0, np.int64), *(frame for frame, _ in self._peaks)])
        bin_ = np.concatenate([np.empty(0, np.int64), *(bin_ for _, bin_ in self._peaks)])
        edges = np.arange(0, self.end + PEAK_BLOCK, PEAK_BLOCK)
        return {
            "tracks": np.array(self.tracks, np.uint32),
            "starts": np.array(self.starts, np.int64),
            "frames": np.array(self.frames, np.int64),
            "peak_rows": np.searchsorted(frame, edges).astype(np.uint32),
            "peak_frames": (frame % PEAK_BLOCK).astype(np.uint8),
            "peak_bins": bin_.astype(np.uint8),
        }


def _merge(
    segments: Sequence[Segment], moved: Sequence[NDArray[np.int64]]
) -> Iterator[NDArray[np.uint64]]:
    """Yield (key << 32 | place) in order, a range of keys at a time to bound the memory."""
    total = sum(segment.size for segment in segments)
    ranges = max(1, -(-total // _AT_ONCE))
    edges = np.linspace(0, _LAST_KEY, ranges + 1).astype(np.int64).tolist()
    for first, last in pairwise(edges):
        parts = []
        for segment, move in zip(segments, moved, strict=True):
            keys, place = segment.entries(first, last)
            place = place + move[segment.track_at(place)]
            keys, place = keys[place >= 0], place[place >= 0]
            parts.append(keys.astype(np.uint64) << np.uint64(32) | place.astype(np.uint64))
        yield np.sort(np.concatenate(parts))


def _write(path: Path, entries: Iterator[NDArray[np.uint64]], lines: _Lines) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(b"\0" * HEADER)
        about: dict[str, dict[str, Any]] = {}
        keys, counts = _write_postings(file, entries, about)
        rows = np.concatenate([[0], np.cumsum(counts)])
        _write_array(file, "keys", keys, about)
        _write_array(file, "rows", rows.astype(np.uint32), about)
        for name, array in lines.arrays().items():
            _write_array(file, name, array, about)
        header = {"settings": settings.analysis(), "size": file.tell(), "arrays": about}
        file.seek(0)
        file.write(MAGIC + json.dumps(header).encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def _write_postings(
    file: BinaryIO, entries: Iterator[NDArray[np.uint64]], about: dict[str, dict[str, Any]]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Write the postings as they come; return the keys and how many postings each has."""
    keys, counts, total, checksum = [], [], 0, 0
    offset = file.tell()
    for part in entries:
        postings = (part & np.uint64(0xFFFFFFFF)).astype("<u4").tobytes()
        checksum = zlib.crc32(postings, checksum)
        file.write(postings)
        total += len(part)
        key, count = np.unique((part >> np.uint64(32)).astype(np.uint32), return_counts=True)
        keys.append(key)
        counts.append(count)
    about["postings"] = {"dtype": "<u4", "count": total, "offset": offset, "crc32": checksum}
    return np.concatenate(keys), np.concatenate(counts)


def _write_array(
    file: BinaryIO, name: str, array: NDArray[Any], about: dict[str, dict[str, Any]]
) -> None:
    file.write(b"\0" * (-file.tell() % 64))  # arrays start on a cache line
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    about[name] = {
        "dtype": array.dtype.newbyteorder("<").str,
        "count": len(array),
        "offset": file.tell(),
        "crc32": zlib.crc32(data),
    }
    file.write(data)


def sync_folder(folder: Path) -> None:
    """Make sure a rename in `folder` survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
