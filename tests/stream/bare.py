"""Streams of bare MP3 and ADTS frames, as relays of web radios have them, and their messages."""

from __future__ import annotations

import functools
import io
import itertools
from typing import NamedTuple

import av
import numpy as np

KINDS = {"mp3": "audio/mpeg", "aac": "audio/aac"}
_DECODER = {"mp3": "mp3float", "aac": "aac"}


class Stream(NamedTuple):
    """Frames, and samples in each."""

    kind: str
    rate: int
    frames: tuple[bytes, ...]
    samples: int


class Sent(NamedTuple):
    """A message: its bytes, its headers, and Kafka's timestamp."""

    value: bytes
    headers: list[tuple[str, bytes]]
    arrived_ms: int


def audio(n: int, rate: int, channels: int) -> np.ndarray:
    """Return a song of sorts with noise and pauses, in which bit rates rise and fall."""
    rng, t = np.random.default_rng(n), np.arange(n) / rate
    tune = 0.3 * np.sin(2 * np.pi * 330 * t * (1 + 0.05 * np.floor(3 * t) % 0.5))
    noise = 0.2 * rng.standard_normal(n) * (np.sin(5 * t) > 0.2)
    both = np.stack([tune + noise, 0.7 * tune - 0.2 * noise, tune, noise][:channels])
    return (both * (np.sin(2 * t) > -0.8)).astype(np.float32)


@functools.cache
def stream(
    codec: str,
    rate: int,
    layout: str = "mono",
    bit_rate: int = 48_000,
    seconds: float = 12.0,
    options: tuple[tuple[str, str], ...] = (),
) -> Stream:
    """Return a stream as an encoder makes it."""
    name, container = {"mp3": ("libmp3lame", "mp3"), "aac": ("aac", "adts")}[codec]
    buffer = io.BytesIO()
    bare = {"write_xing": "0", "id3v2_version": "0"} if codec == "mp3" else {}
    with av.open(buffer, "w", format=container, options=bare) as out:
        encoder = out.add_stream(name, rate=rate, options=dict(options))
        encoder.layout, encoder.format = layout, "fltp"
        encoder.codec_context.bit_rate = bit_rate
        samples = audio(int(seconds * rate), rate, len(encoder.layout.channels))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in (*encoder.encode(frame), *encoder.encode(None)):
            out.mux(packet)
    parser = av.CodecContext.create(_DECODER[codec], "r")
    frames = tuple(bytes(packet) for packet in parser.parse(buffer.getvalue()))
    n = 1024 if codec == "aac" else 1152 if rate >= 32_000 else 576
    return Stream(KINDS[codec], rate, frames, n)


def frames_of(kind: str, rate: int = 48_000) -> tuple[bytes, ...]:
    """Return a second of frames of a content type."""
    codec = next(codec for codec, each in KINDS.items() if each == kind)
    return stream(codec, rate, seconds=1.0).frames


FRAMES = {kind: frames_of(kind) for kind in KINDS.values()}


def messages(
    made: Stream, sizes: list[int], hint: str, *, between: dict[int, bytes] | None = None
) -> list[Sent]:
    """Return a stream as messages of these sizes, over and over.

    Parameters
    ----------
    made : Stream
        The frames.
    sizes : list of int
        Bytes of each message.
    hint : {"nothing", "start_sample", "time_ms"}
        The header that carries the position.
    between : dict of int to bytes
        What else is in the stream, before which frame.
    """
    parts, begins, at = [], [], 0
    for i, frame in enumerate(made.frames):
        extra = (between or {}).get(i, b"")
        begins.append(at + len(extra))
        parts += [extra, frame]
        at += len(extra) + len(frame)
    whole, sent, at, lengths = b"".join(parts), [], 0, itertools.cycle(sizes)
    while at < len(whole):
        value = whole[at : at + next(lengths)]
        first = int(np.searchsorted(begins, at))
        texts = {"content-type": made.kind}
        ms = round(first * made.samples * 1000 / made.rate)
        if hint == "start_sample":
            texts["start_sample"] = str(first * made.samples)
        elif hint == "time_ms":
            texts["time_ms"] = str(1_700_000_000_000 + ms + (7 * first) % 5)
        headers = [(name, text.encode()) for name, text in texts.items()]
        sent.append(Sent(value, headers, 1_700_000_000_000 + ms))
        at += len(value)
    return sent
