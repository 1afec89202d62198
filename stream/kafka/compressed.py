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
from stream.kafka.opus import RATE, read_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

    from stream.kafka.opus import OpusDecoders
    from stream.kafka.settings import WireSettings

_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63}
# Of one frame: the longest in bytes, and the samples that FFmpeg's parser does not tell.
_FRAME_BYTES = {"mp3float": 3_000, "aac": 8_200}
_FRAME_SAMPLES = {"mp3float": 1152, "aac": 1024}
_SLICE_BYTES = 16_384  # of frames, decoded before the limits are looked at again
# What may be inside: the rest of FFmpeg, pictures and films above all, stays out of reach.
_DECODERS = {
    "flac": "flac",
    "ogg": "opus,vorbis,flac",
    "wav": "pcm_u8,pcm_s16le,pcm_s24le,pcm_s32le,pcm_s64le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw",
    "mp3": "mp3float",
}


class Decoded(NamedTuple):
    """Mono samples, shape (n,), and their rate."""

    samples: NDArray[np.float32]
    rate: int


def decode_file(value: bytes, container: str, limits: WireSettings) -> Decoded:
    """Decode a message that is a small file of its own.

    Raises
    ------
    DecodeError
        It is not such a file, is cut short, or is beyond the limits.
    """
    try:
        allowed = {"codec_whitelist": _DECODERS[container]}
        with av.open(io.BytesIO(value), "r", format=container, options=allowed) as opened:
            if not opened.streams.audio:
                raise DecodeError(f"{len(value)} bytes of {container} hold no audio stream")
            stream = opened.streams.audio[0]
            decoder = stream.codec_context.name
            if decoder not in _DECODERS[container].split(","):
                raise _not_audio(value, container, ValueError(f"{decoder} is inside"))
            if stream.channels and stream.rate:  # else nothing was found, and nothing decodes
                check_shape(stream.channels, stream.rate, limits)
            stream.codec_context.thread_count = 1
            decoded = _collect(opened.decode(stream), limits)
    except (av.error.FFmpegError, ValueError) as error:
        raise _not_audio(value, container, error) from error
    if not len(decoded.samples):
        raise _not_audio(value, container, ValueError("no samples in it"))
    return decoded


def decode_opus(value: bytes, decoders: OpusDecoders, limits: WireSettings) -> Decoded:
    """Decode a message that is an Ogg file; one that is plain Opus is decoded quickly.

    Raises
    ------
    DecodeError
        As of `decode_file`.
    """
    plain = read_plain(value)
    if plain is None:
        return decode_file(value, "ogg", limits)
    try:
        samples, rate = _collect(decoders.frames(plain), limits, RATE)
    except (av.error.FFmpegError, ValueError) as error:
        raise _not_audio(value, "opus", error) from error
    samples = samples[plain.skip : max(plain.end, 0)]
    if not len(samples):
        raise _not_audio(value, "opus", ValueError("no samples in it"))
    return Decoded(samples, rate)


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
        self._packets = self._failed = self._lead = 0  # of the last message

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
        began_before = self.partial
        self._waiting += len(value)
        self._packets = self._failed = self._lead = 0
        try:
            decoded = _collect(self._frames(value), self._limits, self._rate)
        except av.error.FFmpegError as error:
            self.reset()
            raise _not_audio(value, self._codec, error) from error
        except DecodeError:
            self.reset()
            raise
        failed, packets = self._failed, self._packets
        # The first frame after a jump may lean on one that is not there; more are damage.
        if failed > 1 + packets // 2 or self._waiting > _FRAME_BYTES[self._codec]:
            self.reset()
            raise DecodeError(
                f"{len(value)} bytes are not a stream of {self._codec.removesuffix('float')} "
                f"frames ({failed} of {packets} frames found are damaged); check content-type"
            )
        self._rate = decoded.rate or 48_000
        return decoded._replace(rate=self._rate), self._lead if began_before else 0

    def _frames(self, value: bytes) -> Iterator[AudioFrame | int]:
        """Yield what is decoded, as it is decoded; a number for a damaged frame's samples."""
        for at in range(0, len(value), _SLICE_BYTES):
            for packet in self._context.parse(value[at : at + _SLICE_BYTES]):
                self._packets += 1
                self._waiting = max(0, self._waiting - packet.size)
                n = packet.duration or self.frame_samples
                if self._packets == 1:
                    self._lead = n
                try:
                    yield from self._context.decode(packet)
                except av.error.FFmpegError:
                    self._failed += 1
                    yield n


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
        check_length(total, rate or limits.max_rate, limits)
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
    if channels == 1 and kind == "flt":
        return np.frombuffer(memoryview(frame.planes[0]), np.float32, frame.samples).copy()
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
