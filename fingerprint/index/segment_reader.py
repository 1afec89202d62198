"""Segment files: a page of header, then arrays, read through a memory map.

Opening reads and checks only what leads to everything else (the tracks and the keys, a few
megabytes); postings and peaks are paged in as questions need them, and processes share the
pages. A flipped bit in those cannot crash a look-up, only cost votes; :func:`verify` finds it.
"""

from __future__ import annotations

import json
import mmap
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from airsift.errors import CatalogueError
from fingerprint import settings
from fingerprint.index.checks import check_arrays, check_layout, parse_object
from fingerprint.index.segment import Segment

MAGIC = b"airsift segment\n"
HEADER = 4096  # bytes
_LOADED = ("tracks", "starts", "frames", "keys", "rows", "peak_rows")
_MAPPED = ("postings", "peak_frames", "peak_bins")
# Pages of postings that a process keeps mapped, in bytes. The system keeps them in its cache
# all the same, as long as there is room: this bounds what counts as the process's own.
_RESIDENT = 64 * 2**20
# A page fault brings in up to so much around it that is cached.
_AROUND = 64 * 2**10
_WAY_OUT = (
    "`airsift catalogue merge` takes the segment out, and then `add` with the same files makes "
    "its tracks anew"
)


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
    return Segment(path, arrays, _Pages(mapped, about["postings"]))


def verify(path: Path) -> None:
    """Read a whole segment file and compare it with the sums in its header.

    Raises
    ------
    CatalogueError
        Naming the array that is not as it was written.
    """
    about = read_header(path)["arrays"]
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for name, array in about.items():
            found = zlib.crc32(mapped[array["offset"] : array["offset"] + _bytes(array)])
            _compare(path, name, found, array["crc32"])


def read_header(path: Path) -> dict[str, Any]:
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
    return header


def header_page(header: dict[str, Any]) -> bytes:
    """Return what a file begins with: the inverse of :func:`read_header`."""
    text = json.dumps(header).encode()
    page = MAGIC + _checksum(text) + text
    assert len(page) <= HEADER
    return page.ljust(HEADER, b"\0")


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


class _Pages:
    """Lets go of the pages of a map's postings when they have become many."""

    def __init__(self, mapped: mmap.mmap, postings: dict[str, Any]) -> None:
        self._map = mapped
        self._touched = 0
        self._start = -(-postings["offset"] // mmap.PAGESIZE) * mmap.PAGESIZE
        end = postings["offset"] + _bytes(postings)
        self._length = end // mmap.PAGESIZE * mmap.PAGESIZE - self._start
        if self._length > 0:
            # Lists are short and far apart: reading ahead would read for nobody.
            mapped.madvise(mmap.MADV_RANDOM, self._start, self._length)

    def __call__(self, lists: int, size: int) -> None:
        self._touched += lists * _AROUND + size
        if self._touched > _RESIDENT and self._length > _RESIDENT:
            self._map.madvise(mmap.MADV_DONTNEED, self._start, self._length)
            self._touched = 0


def _check(path: Path, name: str, array: Any, about: dict[str, Any]) -> None:
    _compare(path, name, zlib.crc32(array), about["crc32"])


def _compare(path: Path, name: str, found: int, expected: int) -> None:
    if found != expected:
        raise CatalogueError(
            f"{path}: {name} has checksum {found:08x}, its header says {expected:08x}: the file "
            f"is damaged; {_WAY_OUT}"
        )


def _array(mapped: mmap.mmap, about: dict[str, Any]) -> Any:
    return np.frombuffer(mapped, np.dtype(about["dtype"]), about["count"], about["offset"])


def _bytes(about: dict[str, Any]) -> int:
    return int(np.dtype(about["dtype"]).itemsize * about["count"])
