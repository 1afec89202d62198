"""WAV files with every kind of header that programs write."""

from __future__ import annotations

import struct

from tests.stream.media import noise

RATE = 16_000

SIGNAL = noise(4, RATE, channels=2)

PCM = (SIGNAL.T * 32_767).astype("<i2").tobytes()

INFO = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0"


def form(
    channels: int = 2,
    rate: int = RATE,
    bits: int = 16,
    *,
    tag: int = 1,
    byte_rate: int | None = None,
    align: int | None = None,
) -> bytes:
    """Return the contents of a ``fmt`` chunk."""
    size = channels * bits // 8
    byte_rate = rate * size if byte_rate is None else byte_rate
    align = size if align is None else align
    return struct.pack("<HHIIHH", tag, channels, rate, byte_rate, align, bits)


def wav(
    fmt: bytes,
    data: bytes,
    *,
    stated: int | None = None,
    riff: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
    magic: bytes = b"RIFF",
) -> bytes:
    stated = len(data) if stated is None else stated
    body = b"WAVE" + before + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    body += b"data" + struct.pack("<I", stated % (1 << 32)) + data + after
    return magic + struct.pack("<I", (len(body) if riff is None else riff) % (1 << 32)) + body


def wide(stated: int, magic: bytes = b"RF64") -> bytes:
    sizes = struct.pack("<IQQQI", 28, stated + 80, stated, stated // 4, 0)
    return wav(form(), PCM, stated=-1, riff=-1, before=b"ds64" + sizes, magic=magic)


WHOLE = {
    "sound": wav(form(), PCM),
    "more chunks behind": wav(form(), PCM, after=INFO),
    "a tag behind": wav(form(), PCM, after=b"TAG" + bytes(125)),
    "length too small": wav(form(), PCM, stated=len(PCM) // 3),
    "length much too small": wav(form(), PCM, stated=4),
    "both lengths too small": wav(form(), PCM, stated=1_000, riff=1_036),
    "open with 0": wav(form(), PCM, stated=0, riff=0),
    "open with -1": wav(form(), PCM, stated=-1, riff=-1),
    "open as SoX does": wav(form(), PCM, stated=0x7FFFF000, riff=0x7FFFF024),
    "open as arecord does": wav(form(), PCM, stated=0x80000000, riff=0x80000024),
    "RF64": wide(len(PCM)),
    "BW64": wide(len(PCM), b"BW64"),
    "RF64 too small": wide(len(PCM) // 3),
    "RF64 open with 0": wide(0),
    "RF64 open with -1": wide((1 << 64) - 81),
    "byte rate 0": wav(form(byte_rate=0), PCM),
    "byte rate too small": wav(form(byte_rate=1_000), PCM),
    "byte rate too large": wav(form(byte_rate=10**9), PCM),
    **{f"block align {n}": wav(form(align=n), PCM) for n in (0, 1, 2, 3, 5, 7, 8, 60_000)},
    "no bits": wav(form()[:14] + bytes(2), PCM),
    "format of 14 bytes": wav(form()[:14], PCM),
    "odd chunk": wav(form(), PCM, before=b"junk\3\0\0\0abc\0"),
    "odd chunk not filled up": wav(form(), PCM, before=b"junk\3\0\0\0abc"),
    "extensible": wav(
        form(tag=0xFFFE)
        + struct.pack("<HHIH", 22, 16, 3, 1)
        + bytes.fromhex("000000001000800000aa00389b71"),
        PCM,
    ),
    "extensible with a wrong length": wav(
        form(tag=0xFFFE)
        + struct.pack("<HHIH", 0, 16, 3, 1)
        + bytes.fromhex("000000001000800000aa00389b71"),
        PCM,
    ),
    "extensible cut short": wav(form(tag=0xFFFE) + bytes(2), PCM),
}
