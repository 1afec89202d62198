"""The format of a WAV file, with what contradicts itself in it mended."""

from __future__ import annotations

import struct

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_SAMPLES = (_PCM, _FLOAT, _A_LAW, _MU_LAW)


def mend_format(form: bytes, order: str) -> bytes:
    """Return the contents of a ``fmt`` chunk that FFmpeg reads as they are meant.

    FFmpeg cuts packets at multiples of the block align, so that a wrong one swaps the bytes of
    samples. Channels and bits are believed: without them there is no audio at all.

    Parameters
    ----------
    form : bytes
        As in the file, of 14 bytes and more.
    order : {"<", ">"}
        Order of bytes.
    """
    tag, channels, rate, byte_rate, align = struct.unpack(order + "HHIIH", form[:14])
    bits = struct.unpack(order + "H", form[14:16])[0] if len(form) >= 16 else 0
    rest = form[16:]
    if tag == _EXTENSIBLE and len(rest) < 24:  # what the samples are is not there
        tag, rest = _PCM, b""
    kind = struct.unpack(order + "H", rest[8:10])[0] if tag == _EXTENSIBLE else tag
    if kind not in _SAMPLES or channels < 1 or bits > 64:
        return form
    width = _width(kind, channels, rate, byte_rate, align, bits)
    if not width:
        return form
    if not bits or (kind == _PCM and width > -(-bits // 8)):
        bits = 8 * width
    if align != channels * width:
        align, byte_rate = channels * width, rate * channels * width
    if tag == _EXTENSIBLE:  # fewer valid bits fill the highest ones of a sample
        more = max(22, struct.unpack(order + "H", rest[:2])[0])
        rest = struct.pack(order + "HH", more, bits) + rest[4:]
    fields = (tag, channels, rate, byte_rate & 0xFFFFFFFF, align & 0xFFFF, bits)
    return struct.pack(order + "HHIIHH", *fields) + rest


def _width(kind: int, channels: int, rate: int, byte_rate: int, align: int, bits: int) -> int:
    """Return the bytes of one sample; 0 where nobody knows."""
    if kind in (_A_LAW, _MU_LAW):
        return 1
    stored = align // channels if align % channels == 0 else 0
    # Samples of 20 bits may be stored in 4 bytes; if so, the byte rate says the same.
    if -(-bits // 8) <= stored <= 8 and byte_rate == rate * align:
        return stored
    return -(-bits // 8)
