"""Writing segment files: several segments, of files or in memory, become one."""

from __future__ import annotations

import os
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fingerprint import settings
from fingerprint.analysis import hashes
from fingerprint.index.builder import Line, to_rows
from fingerprint.index.segment_reader import HEADER, header_page

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fingerprint.index.segment import Segment

# Postings sorted at once while merging: 32 MB of them, about 150 MB with what it takes.
_AT_ONCE = 4_000_000

_LAST_KEY = 2 ** (hashes.BIN_BITS + hashes.TIME_BITS + hashes.STEP_BITS)


def write_merged(path: Path, segments: Sequence[Segment], keep: Container[int]) -> None:
    """Write one segment from several, without the tracks that are not in `keep`.

    The file is whole and on disk, or not there.
    """
    line = Line()
    moved = []  # of each segment: what to add to a place, by track; far below zero to drop it
    for segment in segments:
        move = np.full(len(segment.tracks), -(2**62), np.int64)
        for index, track in enumerate(segment.tracks.tolist()):
            if track in keep:
                start, length = int(segment.starts[index]), int(segment.frames[index])
                frame, bin_ = segment.peaks(start, start + length)
                move[index] = line.add(track, length, frame - start, bin_) - start
        moved.append(move)
    write(path, _merge(segments, moved), line)


def write(path: Path, entries: Iterator[NDArray[np.uint64]], line: Line) -> None:
    """Write a segment file.

    Parameters
    ----------
    path : Path
        The file; while it is written it has the suffix ``.new``.
    entries : iterator of np.ndarray [uint64]
        key << 32 | place of every posting, ascending; no key is in two of the arrays.
    line : Line
        The tracks.
    """
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as file:
            _write(file, entries, line)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)  # on a full disk its room is needed
        raise
    temporary.rename(path)
    _sync_folder(path.parent)


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
        yield np.sort(np.concatenate(parts), kind="stable")


def _write(file: BinaryIO, entries: Iterator[NDArray[np.uint64]], line: Line) -> None:
    file.write(b"\0" * HEADER)
    about: dict[str, dict[str, Any]] = {}
    keys, rows = _write_postings(file, entries, about)
    for name, array in {"keys": keys, "rows": rows, **line.arrays()}.items():
        _write_array(file, name, array, about)
    size = file.tell()
    file.seek(0)
    file.write(header_page({"settings": settings.analysis(), "size": size, "arrays": about}))


def _write_postings(
    file: BinaryIO, entries: Iterator[NDArray[np.uint64]], about: dict[str, dict[str, Any]]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Write the postings as they come; return the keys and the rows."""
    keys, ends = [np.empty(0, np.uint32)], [np.zeros(1, np.uint32)]
    total, checksum, offset = 0, 0, file.tell()
    for part in entries:
        postings = part.astype("<u4").tobytes()
        checksum = zlib.crc32(postings, checksum)
        file.write(postings)
        key, row = to_rows(part)
        keys.append(key)
        ends.append(row[1:] + np.uint32(total))
        total += len(part)
    about["postings"] = {"dtype": "<u4", "count": total, "offset": offset, "crc32": checksum}
    return np.concatenate(keys), np.concatenate(ends)


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


def _sync_folder(folder: Path) -> None:
    """Make sure a rename in `folder` survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
