"""Decompress Kafka's codecs, with a limit on the output.

Both client libraries decompress a whole batch, however large it becomes: 600 kB of gzip can be
600 MB of zeros. Here the limit bounds memory and work.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cramjam
import lz4.frame
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

# The header that xerial's Java library, which Kafka uses, puts before its blocks. Two version
# numbers of 4 bytes follow, in either byte order.
_XERIAL, _XERIAL_HEADER = b"\x82SNAPPY\x00", 16
_INPUT = 16 * 1024  # of gzip at a time: what follows a member is copied
_OUTPUT = 1024 * 1024  # of zstd at a time


class CodecError(Exception):
    """Bytes that are damaged, or decompress to too many. One line."""


def decompress(codec: int, data: memoryview, limit: int) -> bytes | bytearray:
    """Return the decompressed bytes.

    Parameters
    ----------
    codec : int
        As in the attributes of a batch: a key of `NAMES`.
    data : memoryview
        The compressed bytes.
    limit : int > 0
        Maximum length of the result.

    Raises
    ------
    CodecError
        There is no such codec, the bytes are damaged, or the result exceeds `limit`.
    """
    if codec not in NAMES:
        known = ", ".join(NAMES.values())
        raise CodecError(f"unknown codec {codec}; airsift reads Kafka's own: {known}")
    try:
        return _DECODERS[codec](data, limit)
    except CodecError:
        raise
    # Each library has errors of its own for bytes that are damaged, and none has a list of them.
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise CodecError(f"its {NAMES[codec]} data are damaged: {text}") from error


def _plain(data: memoryview, limit: int) -> bytes:
    return bytes(data)


def _gzip(data: memoryview, limit: int) -> bytearray:
    out = bytearray()
    at = 0
    member = zlib.decompressobj(wbits=31)
    is_whole = False
    while at < len(data):
        block = data[at : at + _INPUT]
        out += member.decompress(block, limit + 1 - len(out))
        _check(len(out), limit)
        at += len(block) - len(member.unused_data)
        is_whole = member.eof
        if is_whole:
            member = zlib.decompressobj(wbits=31)
    if not is_whole:
        raise CodecError("its gzip data are damaged: they end too early")
    return out


def _snappy(data: memoryview, limit: int) -> bytearray:
    if data[: len(_XERIAL)] != _XERIAL:
        return _snappy_block(data, 0, limit)
    out = bytearray()
    at = _XERIAL_HEADER
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if at + length > len(data):
            raise CodecError("its snappy data are damaged: they end too early")
        out += _snappy_block(data[at : at + length], len(out), limit)
        at += length
    return out


def _snappy_block(block: memoryview, before: int, limit: int) -> bytearray:
    # A block begins with its length; the decoder reserves that much before it reads on.
    _check(before + cramjam.snappy.decompress_raw_len(block), limit)
    return bytearray(cramjam.snappy.decompress_raw(block))


def _lz4(data: memoryview, limit: int) -> bytes:
    frame = lz4.frame.LZ4FrameDecompressor()
    out: bytes = frame.decompress(data, max_length=limit + 1)
    _check(len(out), limit)
    if not frame.eof:
        raise CodecError("its lz4 data are damaged: they end too early")
    return out


def _zstd(data: memoryview, limit: int) -> bytearray:
    out = bytearray()
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        while block := reader.read(min(_OUTPUT, limit + 1 - len(out))):
            out += block
            _check(len(out), limit)
    return out


def _check(length: int, limit: int) -> None:
    if length > limit:
        raise CodecError(
            f"it decompresses to more than kafka.wire.max_batch_bytes={limit}; send smaller "
            "batches or raise it"
        )


_DECODERS: dict[int, Callable[[memoryview, int], bytes | bytearray]] = {
    0: _plain,
    1: _gzip,
    2: _snappy,
    3: _lz4,
    4: _zstd,
}
