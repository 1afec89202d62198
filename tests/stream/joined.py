"""Audio files and tags, to be joined to one file."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import av
import av.error
import numpy as np
import pytest

from stream.testing import tone

HZ = (440, 880, 1_320, 660)


@cache
def part(
    format: str,  # noqa: A002 PyAV's word
    codec: str,
    rate: int,
    channels: int,
    hz: float = 440.0,
    seconds: float = 2.0,
) -> bytes:
    """Return a file of a tone."""
    data = io.BytesIO()
    sound = np.tile(tone(seconds, rate, hz=hz), (channels, 1))
    with av.open(data, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate, layout={1: "mono", 2: "stereo"}[channels])
        stream.codec_context.options = {"strict": "-2"}  # FFmpeg's Vorbis is experimental
        packed = np.ascontiguousarray(sound.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", stream.layout.name)
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return data.getvalue()


KINDS = [  # format, codec, samples of an encoder's delay that no header contains, for each part
    ("ogg", "libopus", 0),
    ("ogg", "vorbis", 1_024),
    ("ogg", "flac", 0),
    ("flac", "flac", 0),
    ("mp3", "libmp3lame", 0),
    ("adts", "aac", 2_100),
    ("wav", "pcm_s16le", 0),
]


def id3(size: int, *, frame: bytes = b"APIC") -> bytes:
    """Return a tag of `size` bytes after its header, of which most look like MPEG frames."""
    sizes = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    body = frame + (size - 10).to_bytes(4, "big") + bytes(2)
    return (
        b"ID3\4\0\0"
        + sizes
        + (body + b"\xff\xfb\x90\x44TAGXingfLaC" * (size // 15))[:size].ljust(size, b"\xff")
    )


def ape(size: int) -> bytes:
    """Return an APE tag with a header and a footer."""
    ends = [
        b"APETAGEX"
        + b"".join(n.to_bytes(4, "little") for n in (2000, size + 32, 1, flags))
        + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    ]
    return ends[0] + (b"\xff\xfbID3\4" * (size // 6 + 1))[:size] + ends[1]


SIZE_OF_A_COVER = 18_000_000

TAGS: dict[str, Callable[[], bytes]] = {
    "cover": lambda: id3(SIZE_OF_A_COVER),
    "id3v2": lambda: id3(3_000),
    "id3v2.2": lambda: id3(500, frame=b"PIC\0"),
    "id3v1": lambda: b"TAG" + b"title".ljust(125, b"\0"),
    "ape": lambda: ape(20_000),
    "ape cover": lambda: ape(5_000_000),
    "all": lambda: ape(300) + b"TAG" + bytes(125) + id3(2_000),
    "two": lambda: id3(300) + id3(70_000),
}


def lyrics(fields: int) -> bytes:
    """Return a tag of Lyrics3 v2, with what MPEG frames begin with in its text."""
    body = b"LYRICSBEGIN" + b"IND0000200" + (b"LYR00050" + b"\xff\xfb" * 25) * fields
    return body + b"%06d" % len(body) + b"LYRICS200"


TAGS |= {
    "lyrics": lambda: lyrics(3),
    "long lyrics": lambda: lyrics(900),
    "lyrics and id3v1": lambda: lyrics(1) + b"TAG" + bytes(125),
    "lyrics of version 1": lambda: b"LYRICSBEGIN[00:10]one\xff\xfbLYRICSENDTAG" + bytes(125),
}

LARGE = [pytest.param(tag, marks=pytest.mark.slow) for tag in ("cover", "ape cover")]

TAG_NAMES = [*(tag for tag in TAGS if "cover" not in tag), *LARGE]
