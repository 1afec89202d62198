"""Segment files: a page of header, then arrays, written once and read through a memory map.

Opening reads and checks only what leads to everything else (the tracks and the keys, a few
megabytes). Postings and peaks are read as queries need them, and processes share the pages in the
system's cache. A flipped bit in those cannot crash a look-up, only cost votes; :func:`verify` finds
it.
"""

from __future__ import annotations

import json
import mmap
import os
import weakref
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from airsift.errors import CatalogueError
from airsift.files import atomic
from fingerprint import settings
from fingerprint.analysis import hashes
from fingerprint.index.builder import SegmentBuilder, to_rows, to_table
from fingerprint.index.checks import ArrayEntry, Header, check_arrays, check_layout, parse_object
from fingerprint.index.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAGIC = b"airsift segment\n"
HEADER = 4096  # bytes
_LOADED = ("tracks", "starts", "frames", "keys", "rows", "peak_rows")
_MAPPED = ("postings", "peak_frames", "peak_bins")
# A segment with more bytes of postings than this is not read through its map: a query needs lists
# that are far apart, and the system maps 64 kB around each. These count as the process's memory,
# and to map them costs more than to read the list.
_MAX_MAPPED = 32 * 2**20
_WAY_OUT = (
    "`airsift catalogue merge` takes the segment out, and then `add` with the same files makes "
    "its tracks anew"
)
# Postings sorted at once in a merge: 32 MB, about 150 MB with temporary arrays.
_AT_ONCE = 4_000_000


def open_segment(path: Path) -> Segment:
    """Open a segment file for reading.

    Raises
    ------
    CatalogueError
        If it is not a segment, is cut short or damaged, or is of another version.
    FileNotFoundError
        If it is not there.
    """
    about = read_header(path)["arrays"]
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        arrays = {name: _array(mapped, about[name]) for name in (*_LOADED, *_MAPPED)}
        for name in _LOADED:
            _check(path, name, arrays[name], about[name])
        check_arrays(arrays)
    except ValueError as error:
        raise CatalogueError(f"{path}: is damaged ({error}); {_WAY_OUT}") from error
    large = _bytes(about["postings"]) > _MAX_MAPPED
    return Segment(path, arrays, _Lists(path, about["postings"]) if large else None)


def verify(path: Path) -> None:
    """Read a whole segment file and compare it with the checksums in its header.

    Raises
    ------
    CatalogueError
        With the name of the damaged array.
    """
    about = read_header(path)["arrays"]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for name, array in about.items():
            found = zlib.crc32(mapped[array["offset"] : array["offset"] + _bytes(array)])
            _compare(path, name, found, array["crc32"])


def read_header(path: Path) -> Header:
    """Return the header of a segment file, checked against this version and the file's size."""
    with path.open("rb") as file:
        page = file.read(HEADER)
    if not page.startswith(MAGIC):
        raise CatalogueError(
            f"{path}: begins with {page[:16]!r}, not {MAGIC!r}: it is no segment of a catalogue; "
            f"{_WAY_OUT}"
        )
    text = page[len(MAGIC) :].rstrip(b"\0")
    try:
        header = parse_object(text[8:])
        if text[:8] != _checksum(text[8:]):  # as text: 0xab is written in one way only
            raise ValueError("its checksum differs")
        if not isinstance(header["settings"], dict):
            raise ValueError("it names no settings")
        settings.check(header["settings"], str(path))
        size, expected = path.stat().st_size, header["size"]
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogueError(f"{path}: its header is damaged ({error}); {_WAY_OUT}") from error
    if size != expected:
        raise CatalogueError(
            f"{path}: has {size} bytes, its header says {expected}: the file was cut short; "
            f"{_WAY_OUT}"
        )
    try:
        check_layout(header.get("arrays"), size)
    except ValueError as error:
        raise CatalogueError(f"{path}: its header is damaged ({error}); {_WAY_OUT}") from error
    return cast("Header", header)  # checked above


def header_page(header: Header) -> bytes:
    """Return the first page of a file: the inverse of :func:`read_header`."""
    text = json.dumps(header).encode()
    page = MAGIC + _checksum(text) + text
    assert len(page) <= HEADER
    return page.ljust(HEADER, b"\0")


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def write_merged(path: Path, segments: Sequence[Segment], keep: Container[int]) -> None:
    """Write one segment from several, with only the tracks in `keep`; the file is atomic.

    Raises
    ------
    OSError
        The disk refuses.
    """
    builder = SegmentBuilder()
    moved = []  # per segment and track: added to a place; far below zero to drop the track
    for segment in segments:
        move = np.full(len(segment.tracks), -(2**62), np.int64)
        for index, track in enumerate(segment.tracks.tolist()):
            if track in keep:
                start, length = int(segment.starts[index]), int(segment.frames[index])
                frame, bin_ = segment.peaks(start, start + length)
                move[index] = builder.add(track, length, frame - start, bin_) - start
        moved.append(move)
    write(path, _merge(segments, moved), builder)


def write(path: Path, entries: Iterator[NDArray[np.uint64]], builder: SegmentBuilder) -> None:
    """Write a segment file, atomically.

    Parameters
    ----------
    path : Path
        The file.
    entries : iterator of np.ndarray [uint64]
        key << 32 | place of every posting, ascending; no key is in two of the arrays.
    builder : SegmentBuilder
        The tracks.
    """
    with atomic(path, durable=True) as partial, partial.open("wb") as file:
        _write(file, entries, builder)


def _merge(
    segments: Sequence[Segment], moved: Sequence[NDArray[np.int64]]
) -> Iterator[NDArray[np.uint64]]:
    """Yield (key << 32 | place) in order, one range of keys at a time to bound memory."""
    total = sum(segment.size for segment in segments)
    ranges = max(1, -(-total // _AT_ONCE))
    edges = np.linspace(0, hashes.KEYS, ranges + 1).astype(np.int64).tolist()
    for first, last in pairwise(edges):
        parts = []
        for segment, move in zip(segments, moved, strict=True):
            keys, place = segment.entries(first, last)
            place = place + move[segment.track_at(place)]
            keys, place = keys[place >= 0], place[place >= 0]
            parts.append(keys.astype(np.uint64) << np.uint64(32) | place.astype(np.uint64))
        yield np.sort(np.concatenate(parts), kind="stable")


def _write(file: BinaryIO, entries: Iterator[NDArray[np.uint64]], builder: SegmentBuilder) -> None:
    file.write(b"\0" * HEADER)
    about: dict[str, ArrayEntry] = {}
    keys, rows = _write_postings(file, entries, about)
    for name, array in {"keys": keys, "rows": rows, **builder.arrays()}.items():
        _write_array(file, name, array, about)
    size = file.tell()
    file.seek(0)
    file.write(header_page({"settings": settings.analysis(), "size": size, "arrays": about}))


def _write_postings(
    file: BinaryIO, entries: Iterator[NDArray[np.uint64]], about: dict[str, ArrayEntry]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Write the postings; return the keys and the rows."""
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
    return to_table(np.concatenate(keys), np.concatenate(ends))


def _write_array(
    file: BinaryIO, name: str, array: NDArray[np.integer], about: dict[str, ArrayEntry]
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


class _Lists:
    """Reads lists of postings from a segment file."""

    def __init__(self, path: Path, postings: ArrayEntry) -> None:
        self._path = path
        self._offset = postings["offset"]
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def __call__(self, first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.uint32]:
        out = np.empty(int(count.sum()), "<u4")
        to, end = out.data.cast("B"), 0
        offsets, sizes = self._offset + 4 * first, 4 * count
        for offset, size in zip(offsets.tolist(), sizes.tolist(), strict=True):
            start, end = end, end + size
            if os.preadv(self._file, [to[start:end]], offset) != size:
                raise CatalogueError(f"{self._path}: was cut short while in use; {_WAY_OUT}")
        return out


def _check(path: Path, name: str, array: NDArray[np.integer], about: ArrayEntry) -> None:
    _compare(path, name, zlib.crc32(array.data), about["crc32"])


def _compare(path: Path, name: str, found: int, expected: int) -> None:
    if found != expected:
        raise CatalogueError(
            f"{path}: {name} has checksum {found:08x}, its header says {expected:08x}: the file "
            f"is damaged; {_WAY_OUT}"
        )


def _array(mapped: mmap.mmap, about: ArrayEntry) -> NDArray[np.integer]:
    return np.frombuffer(mapped, np.dtype(about["dtype"]), about["count"], about["offset"])


def _bytes(about: ArrayEntry) -> int:
    return int(np.dtype(about["dtype"]).itemsize * about["count"])
