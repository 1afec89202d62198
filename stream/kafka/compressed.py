"""FLAC, Opus, MP3, AAC and WAV in memory: whole messages, and frame streams cut anywhere.

Sample counts are exact. A FLAC, Ogg Opus, WAV or MP3 message with a LAME header is a small file
of its own: what it decodes to is as long as what was encoded. A stream of bare MP3 or ADTS
frames is decoded by one decoder per station, which counts every frame, damaged ones too.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import av.error
import numpy as np

from airsift.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

    from stream.kafka.settings import WireSettings

_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63}
# Of one frame: the longest in bytes, and the samples that FFmpeg's parser does not tell.
_FRAME_BYTES = {"mp3float": 3_000, "aac": 8_200}
_FRAME_SAMPLES = {"mp3float": 1152, "aac": 1024}


class Decoded(NamedTuple):
    """Mono samples, shape (n,), and their rate."""

    samples: NDArray[np.float32]
    rate: int


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


def decode_file(value: bytes, container: str, limits: WireSettings) -> Decoded:
    """Decode a message that is a small file of its own.

    Raises
    ------
    DecodeError
        It is not such a file, is cut short, or is beyond the limits.
    """
    try:
        with av.open(io.BytesIO(value), "r", format=container) as opened:
            if not opened.streams.audio:
                raise DecodeError(f"{len(value)} bytes of {container} hold no audio stream")
            stream = opened.streams.audio[0]
            stream.codec_context.thread_count = 1
            decoded = _collect(opened.decode(stream), limits)
    except (av.error.FFmpegError, ValueError) as error:
        raise _not_audio(value, container, error) from error
    if not len(decoded.samples):
        raise _not_audio(value, container, ValueError("no samples in it"))
    return decoded


class FrameStream:
    """Decodes one station's MP3 or ADTS frames, however the bytes are cut into messages.

    Parameters
    ----------
    codec : {"mp3float", "aac"}
        FFmpeg's name of the decoder.
    limits : WireSettings
        What a message may hold.
    """

    def __init__(self, codec: str, limits: WireSettings) -> None:
        self._codec = codec
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget what came before: the next bytes are from elsewhere."""
        self._context = cast("AudioCodecContext", av.CodecContext.create(self._codec, "r"))
        self._context.thread_count = 1
        self._waiting = 0
        self._rate = 0

    @property
    def frame_samples(self) -> int:
        """Samples in one frame."""
        return _FRAME_SAMPLES[self._codec]

    @property
    def partial(self) -> bool:
        """Whether the last message ended within a frame."""
        return self._waiting > 0

    def push(self, value: bytes) -> tuple[Decoded, int]:
        """Return the samples of the frames that end in `value`; there may be none.

        With them comes how many of them belong to a frame that began before `value`.
        """
        lead = 0
        began_before = self.partial
        frames: list[AudioFrame | int] = []
        packets = failed = size = 0
        try:
            for packet in self._context.parse(value):
                packets += 1
                if packets == 1 and began_before:
                    lead = packet.duration or self.frame_samples
                size += packet.size
                try:
                    frames += self._context.decode(packet)
                except av.error.FFmpegError:
                    failed += 1
                    frames.append(packet.duration or self.frame_samples)
        except av.error.FFmpegError as error:
            self.reset()
            raise _not_audio(value, self._codec, error) from error
        self._waiting = max(0, self._waiting + len(value) - size)
        # The first frame after a jump may lean on one that is not there; more are damage.
        if failed > 1 + packets // 2 or self._waiting > _FRAME_BYTES[self._codec]:
            self.reset()
            raise DecodeError(
                f"{len(value)} bytes are not a stream of {self._codec.removesuffix('float')} "
                f"frames ({failed} of {packets} frames found are damaged); check content-type"
            )
        try:
            decoded = _collect(frames, self._limits, self._rate)
        except DecodeError:
            self.reset()
            raise
        self._rate = decoded.rate or 48_000
        return decoded._replace(rate=self._rate), lead


def is_whole_mp3(value: bytes) -> bool:
    """Say whether these bytes begin as an MP3 file does, with an ID3 tag or a Xing header."""
    head = value[:400]
    return head[:3] == b"ID3" or b"Xing" in head or b"Info" in head


def check_shape(channels: int, rate: int, limits: WireSettings) -> None:
    """Refuse more channels, or samples per second, than configured.

    Raises
    ------
    DecodeError
        With the key that sets the limit.
    """
    if not 1 <= channels <= limits.max_channels:
        raise DecodeError(
            f"channels={channels} is more than kafka.wire.max_channels={limits.max_channels}"
        )
    if not 1000 <= rate <= limits.max_rate:
        raise DecodeError(f"rate={rate} must be 1000 to kafka.wire.max_rate={limits.max_rate}")


def check_length(n: int, rate: int, limits: WireSettings) -> None:
    """Refuse more than the configured seconds of `n` samples, at `rate`.

    Raises
    ------
    DecodeError
        With the key that sets the limit.
    """
    if n > limits.max_s * rate:
        raise DecodeError(
            f"it holds more than kafka.wire.max_s={limits.max_s:g} s of audio; send shorter chunks"
        )


def _collect(
    frames: Iterable[AudioFrame | int] | Iterator[AudioFrame], limits: WireSettings, rate: int = 0
) -> Decoded:
    """Join frames; a number stands for so many samples of silence in place of a damaged one."""
    parts: list[NDArray[np.float32]] = []
    total = 0
    for frame in frames:
        if isinstance(frame, int):
            parts.append(np.zeros(frame, np.float32))
        else:
            if rate and frame.sample_rate != rate and parts:
                raise DecodeError(
                    f"the rate changes from {rate} to {frame.sample_rate} within one message; "
                    "begin a new message where the rate changes"
                )
            rate = frame.sample_rate
            check_shape(frame.layout.nb_channels, rate, limits)
            parts.append(_mono(frame))
        total += len(parts[-1])
        if rate:
            check_length(total, rate, limits)
    return Decoded(np.concatenate(parts) if parts else np.zeros(0, np.float32), rate)


def _mono(frame: AudioFrame) -> NDArray[np.float32]:
    """Return the mean over channels, shape (n,), full scale +-1.

    Planes are read one by one: on planar frames of eight channels PyAV 18's `to_ndarray` reads
    past the list of planes.
    """
    kind = frame.format.name.removesuffix("p")
    dtype = np.dtype(
        {"flt": "f4", "dbl": "f8", "s16": "i2", "s32": "i4", "s64": "i8"}.get(kind, "u1")
    )
    channels = frame.layout.nb_channels
    if frame.format.is_planar:
        count = frame.samples
        planes = [
            np.frombuffer(memoryview(plane), dtype, count) for plane in frame.planes[:channels]
        ]
        data = np.stack(planes, axis=1)
    else:
        data = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels)
        data = data.reshape(-1, channels)
    samples = data[:, 0] if channels == 1 else data.mean(axis=1)
    if kind in _SCALE:
        samples = samples / _SCALE[kind] - (1.0 if kind == "u8" else 0.0)
    return samples.astype(np.float32)


def _not_audio(value: bytes, kind: str, error: Exception) -> DecodeError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DecodeError(f"{len(value)} bytes do not decode as {kind}: {reason}; check content-type")
