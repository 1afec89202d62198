"""Audio to messages that are small files of their own: FLAC, Ogg Opus and MP3."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import numpy as np

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Encoder(NamedTuple):
    """How one codec is written."""

    name: str
    container: str
    sample_format: str
    rates: tuple[int, ...]


ENCODERS = {
    "flac": Encoder("flac", "flac", "s16", ()),
    "opus": Encoder("libopus", "ogg", "flt", (8000, 12000, 16000, 24000, 48000)),
    "mp3": Encoder(
        "libmp3lame",
        "mp3",
        "fltp",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
}


def encode_file(samples: NDArray[np.float32], rate: int, codec: str, bit_rate: int) -> bytes:
    """Return `samples` as a small FLAC, Ogg Opus or MP3 file that decodes to as many samples.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono audio in [-1, 1]; FLAC keeps 16 bits of it.
    rate : int > 0
        Samples per second; one of the codec's own rates.
    codec : {"flac", "opus", "mp3"}
        What to write.
    bit_rate : int > 0
        Bits per second, for the codecs that have one.
    """
    encoder = ENCODERS[codec]
    if encoder.rates and rate not in encoder.rates:
        raise DecodeError(
            f"rate={rate}: {codec} is made at {', '.join(map(str, encoder.rates))} Hz; "
            "resample the audio or use flac"
        )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=encoder.container) as container:
        stream = cast("av.AudioStream", container.add_stream(encoder.name, rate=rate))
        stream.layout = "mono"
        stream.format = encoder.sample_format
        stream.codec_context.thread_count = 1
        if codec != "flac":
            stream.codec_context.bit_rate = bit_rate
        data = samples[None]
        if encoder.sample_format == "s16":
            data = np.rint(np.clip(data * 32768.0, -32768, 32767)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(data, format=encoder.sample_format, layout="mono")
        frame.sample_rate = rate
        frame.pts = 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()
