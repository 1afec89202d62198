"""Remove tags, pictures and tables from FLAC and WAV files.

FFmpeg compares each new tag with all earlier ones: a message of some megabytes of short tags would
take an hour. Here they are skipped by their lengths.
"""

from __future__ import annotations

import struct

from stream.decoding.tags import id3_bytes

_STREAMINFO_BYTES = 34
_CHUNK = struct.Struct("<4sI")
_MAX_FORMAT = 64  # bytes; that of the longest known format is 40
_UNKNOWN = (0, 0xFFFFFFFF)  # sizes that mean an unknown end


def bare_flac(value: bytes) -> bytes:
    """Return a FLAC file with STREAMINFO as its only metadata.

    Raises
    ------
    ValueError
        It is no FLAC file.
    """
    at = id3_bytes(value)
    if value[at : at + 4] != b"fLaC":
        raise ValueError("it does not begin with fLaC")
    at, info, is_last = at + 4, b"", False
    while not is_last:
        head = value[at : at + 4]
        if len(head) < 4:
            raise ValueError("it ends within its metadata")
        is_last, kind, n = bool(head[0] & 128), head[0] & 127, int.from_bytes(head[1:], "big")
        if kind == 0 and not info:
            info = value[at + 4 : at + 4 + n]
        at += 4 + n
    if len(info) != _STREAMINFO_BYTES:
        raise ValueError("it has no STREAMINFO")
    return b"".join((b"fLaC\x80\0\0\x22", info, memoryview(value)[at:]))


def bare_wav(value: bytes) -> bytes:
    """Return a WAV file with its format and its samples only.

    Raises
    ------
    ValueError
        It is no WAV file.
    """
    if value[:4] not in (b"RIFF", b"RF64", b"BW64") or value[8:12] != b"WAVE":
        raise ValueError("it does not begin as a WAV file")
    at, form = 12, b""
    while at + _CHUNK.size <= len(value):
        kind, size = _CHUNK.unpack_from(value, at)
        at += _CHUNK.size
        if kind == b"fmt " and not form:
            form = value[at : at + size]
        elif kind == b"data":
            end = len(value) if size in _UNKNOWN else at + size
            return _wav(form, value[at:end])
        at += size + size % 2
    raise ValueError("it has no data chunk")


def _wav(form: bytes, data: bytes) -> bytes:
    if not 16 <= len(form) <= _MAX_FORMAT:
        raise ValueError(f"its format is {len(form)} bytes long")
    form += bytes(len(form) % 2)
    return b"".join(
        (
            _CHUNK.pack(b"RIFF", 4 + 2 * _CHUNK.size + len(form) + len(data)),
            b"WAVE",
            _CHUNK.pack(b"fmt ", len(form)),
            form,
            _CHUNK.pack(b"data", len(data)),
            data,
        )
    )
