"""Messages that would cost more than others of their size."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import av
import numpy as np

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.codec.message import ChunkDecoder, encode
from stream.kafka.settings import WireSettings
from tests.stream.bare import stream

if TYPE_CHECKING:
    from collections.abc import Callable

_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))
_OPUS = b"OpusHead\1\1\0\0\x80\xbb\0\0\0\0\0"
_TONE = AudioChunk("a", 0, (0.3 * np.sin(np.arange(8000) / 9)).astype(np.float32), 16_000)
_COMMENT = struct.Struct("<I9s")


def ogg_page(number: int, flags: int, granule: int, lengths: list[int], body: bytes) -> bytes:
    """Return one page, with its checksum."""
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 7, number, 0, len(lengths))
    page = head + bytes(lengths) + body
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return page[:22] + struct.pack("<I", int(f"{crc:032b}"[::-1], 2)) + page[26:]


def opus(pages: list[tuple[list[int], bytes]]) -> bytes:
    """Return an Opus file whose audio is on these pages."""
    out = [ogg_page(0, 2, 0, [19], _OPUS), ogg_page(1, 0, 0, [16], b"OpusTags" + bytes(8))]
    goes_on = False
    for i, (lengths, body) in enumerate(pages):
        out.append(ogg_page(i + 2, int(goes_on), 960 * (i + 1), lengths, body))
        goes_on = lengths[-1] == 255
    return b"".join(out)


def comments(n: int) -> bytes:
    """Return Vorbis comments, all of different names."""
    each = (_COMMENT.pack(9, b"%07x=1" % i) for i in range(n // _COMMENT.size))
    return bytes(4) + struct.pack("<I", n // _COMMENT.size) + b"".join(each)


def opus_comments(n: int) -> bytes:
    body = b"OpusTags" + comments(n)
    out = [ogg_page(0, 2, 0, [19], _OPUS)]
    for at in range(0, len(body), 65_025):
        part = body[at : at + 65_025]
        last = [] if len(part) == 65_025 else [len(part) % 255]
        out.append(ogg_page(len(out), int(at > 0), 0, [255] * (len(part) // 255) + last, part))
    out.append(ogg_page(len(out), 4, 9600, [3] * 10, b"\xfc\xff\xfe" * 10))
    return b"".join(out)


def flac(blocks: list[tuple[int, bytes]]) -> bytes:
    """Return a FLAC file with these metadata blocks, and the kind of each."""
    value = encode(_TONE, "flac").value
    at, is_last = 4, False
    while not is_last:
        is_last, size = bool(value[at] & 128), int.from_bytes(value[at + 1 : at + 4], "big")
        at += 4 + size
    parts = [value[:4], b"\0", value[5:42]]
    for i, (kind, block) in enumerate(blocks):
        last = 128 if i == len(blocks) - 1 else 0
        parts += [bytes([kind | last]), len(block).to_bytes(3, "big"), block]
    return b"".join([*parts, value[at:]])


def wav_info(n: int) -> bytes:
    tags = b"".join(struct.pack("<4sI2s", b"%04x" % (i % 65_536), 2, b"a") for i in range(n // 10))
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    tail = struct.pack("<4sI", b"data", 0xFFFFFFF0) + bytes(2000)
    body = b"WAVE" + form + struct.pack("<4sI4s", b"LIST", len(tags) + 4, b"INFO") + tags + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp3_apart(n: int) -> bytes:
    """Return pairs of frames with what looks like headers between them."""
    first, second = stream("mp3", 48_000, "mono", 64_000).frames[10:12]
    one = first + second + b"\xff\xfb\x90\x00" * 400
    return one * (n // len(one))


def adts_tiny(n: int) -> bytes:
    head = bytearray(stream("aac", 16_000, "mono", 16_000).frames[0][:7])
    head[3], head[4], head[5] = head[3] & 0xFC, 10 >> 3, head[5] & 0x1F | (10 & 7) << 5
    return (bytes(head) + b"\x07\xff\xff") * (n // 10)


def silence(codec: str, container: str, rate: int, layout: str, n: int) -> bytes:
    """Return about `n` bytes of silence: minutes to hours of it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        encoder = out.add_stream(codec, rate=rate, layout=layout)
        kind = encoder.codec_context.codec.audio_formats[0].name
        frame = av.AudioFrame(format=kind, layout=layout, samples=rate)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, i = rate, 0
        while buffer.tell() < n:
            frame.pts, i = i * rate, i + 1
            out.mux(encoder.encode(frame))
        out.mux(encoder.encode(None))
    return buffer.getvalue()


KINDS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "ogg packet": ("audio/ogg", lambda n: opus([([255] * 255, bytes(65_025))] * (n // 65_307))),
    "ogg pages": ("audio/ogg", lambda n: opus([([0], b"")] * (n // 28))),
    "ogg packets": ("audio/ogg", lambda n: opus([([0] * 255, b"")] * (n // 282))),
    "ogg streams": ("audio/ogg", lambda n: encode(_TONE, "opus").value * (n // 5000)),
    "ogg comments": ("audio/ogg", opus_comments),
    "ogg silence": ("audio/ogg", lambda n: opus([([1] * 255, b"\xf8" * 255)] * (n // 540))),
    "flac comments": ("audio/flac", lambda n: flac([(4, comments(n))])),
    "flac picture": ("audio/flac", lambda n: flac([(6, bytes(n))])),
    "flac blocks": ("audio/flac", lambda n: flac([(2, b"x")] * (n // 5))),
    "flac silence": ("audio/flac", lambda n: silence("flac", "flac", 96_000, "7.1", n // 20)),
    "wav tags": ("audio/wav", wav_info),
    "mp3 headers": ("audio/mpeg", lambda n: b"\xff\xfb\x90\x00" * (n // 4)),
    "mp3 free format": ("audio/mpeg", lambda n: b"\xff\xfb\x00\x00" * (n // 4)),
    "mp3 between junk": ("audio/mpeg", mp3_apart),
    "mp3 tags": ("audio/mpeg", lambda n: (b"ID3\4" + bytes(6)) * (n // 10)),
    "mp3 silence": ("audio/mpeg", lambda n: silence("libmp3lame", "mp3", 48_000, "mono", n // 2)),
    "aac frames": ("audio/aac", adts_tiny),
    "aac tags": ("audio/aac", lambda n: (b"ID3\4" + bytes(6)) * (n // 10)),
}


def decode(content_type: str, value: bytes) -> str:
    """Decode a message; return why it was refused, "" if it was not."""
    headers = [("content-type", content_type.encode())]
    try:
        ChunkDecoder(WireSettings.default()).decode(b"a", value, headers, 0)
    except DecodeError as error:
        return str(error)
    return ""
