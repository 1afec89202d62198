"""Readers of containers that FFmpeg does not open: two game archives and pk3 (zip) files.

Debian ships both games, which are freeware with hours of acted English by many voices. The ScummVM
project documents the layouts.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SKY_RATE = 11_025
SKY_FIRST_SPEECH = 50_000
SKY_HEADER = 22
QUEEN_HEADER = struct.Struct(">4s6s3BH")
QUEEN_ENTRY = struct.Struct(">12sBII")
QUEEN_MP3 = 1


def sky_speech(index: bytes, data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield the spoken lines of 'Beneath a Steel Sky'.

    Parameters
    ----------
    index : bytes
        ``sky.dnr``: a little-endian count, then 8 bytes an entry: file number (16 bits),
        offset (24 bits) and size with flags (24 bits). Bit 23 of an offset means that the
        other 23 bits count units of 16 bytes.
    data : bytes
        ``sky.dsk``. A line is 22 bytes of header and unsigned 8-bit samples.

    Yields
    ------
    np.ndarray [shape=(n,), float32]
        One line, mono at `SKY_RATE`, full scale is +-1.

    Raises
    ------
    DecodeError
        The index is truncated.
    """
    count = int.from_bytes(index[:4], "little")
    if len(index) < 4 + 8 * count:
        raise DecodeError(
            f"sky.dnr has {len(index)} bytes but lists {count} files: fetch the package again"
        )
    for start in range(4, 4 + 8 * count, 8):
        number = int.from_bytes(index[start : start + 2], "little")
        if number < SKY_FIRST_SPEECH:
            continue
        place = int.from_bytes(index[start + 2 : start + 5], "little")
        offset = (place & 0x7FFFFF) * 16 if place >> 23 else place
        size = int.from_bytes(index[start + 5 : start + 8], "little") & 0x3FFFFF
        line = np.frombuffer(data[offset + SKY_HEADER : offset + size], dtype=np.uint8)
        yield (line.astype(np.float32) - 128.0) / 128.0


def queen_speech(data: bytes) -> Iterator[bytes]:
    """Yield the spoken lines of 'Flight of the Amazon Queen' as MP3 files.

    Parameters
    ----------
    data : bytes
        ``queen.1c``: 'QTBL', version, three flags of which the third is the compression, a
        big-endian count, then 21 bytes an entry: name, bundle, offset, size.

    Yields
    ------
    bytes
        One line: an MP3 stream, mono, 11 025 Hz.

    Raises
    ------
    DecodeError
        The data is not this archive, or not its MP3 edition.
    """
    magic, _, _, _, compression, count = QUEEN_HEADER.unpack_from(data)
    if magic != b"QTBL" or compression != QUEEN_MP3:
        raise DecodeError(
            f"queen.1c begins {magic!r} with compression {compression}; the reader knows "
            f"b'QTBL' with {QUEEN_MP3}: use Debian's package"
        )
    for entry in range(count):
        name, _, offset, size = QUEEN_ENTRY.unpack_from(
            data, QUEEN_HEADER.size + entry * QUEEN_ENTRY.size
        )
        if name.rstrip(b"\0 ").endswith(b".SB"):
            yield data[offset : offset + size]


def zip_members(archive: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file in a zip archive (which a pk3 is)."""
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                yield str(PurePosixPath(info.filename)), opened.read(info)
