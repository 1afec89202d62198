"""Decoded audio of messages: FFmpeg's frames to samples, and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airsift.errors import DecodeError
from stream.decoding.channels import MAX_CHANNELS
from stream.stages.mono import mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

    from stream.kafka.settings import WireSettings

_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63}


class Decoded(NamedTuple):
    """Samples, shape (n,) if they are mono, else (n, channels), and their rate."""

    samples: NDArray[np.float32]
    rate: int


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


def collect(frames: Iterable[AudioFrame | int], limits: WireSettings, rate: int = 0) -> Decoded:
    """Join frames; a number is the length in samples of a damaged one, which becomes silence."""
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
            parts.append(read_frame(frame))
        total += len(parts[-1])
        check_length(total, rate or limits.max_rate, limits)
    return Decoded(_joined(parts), rate)


def read_frame(frame: AudioFrame) -> NDArray[np.float32]:
    """Return samples in the shape of `Decoded`, full scale +-1.

    Planes are read one by one, see `stream.decoding.downmix`.
    """
    kind = frame.format.name.removesuffix("p")
    dtype = np.dtype(
        {"flt": "f4", "dbl": "f8", "s16": "i2", "s32": "i4", "s64": "i8"}.get(kind, "u1")
    )
    channels = frame.layout.nb_channels
    if frame.format.is_planar or channels == 1:
        count = frame.samples
        planes = [
            np.frombuffer(memoryview(plane), dtype, count) for plane in frame.planes[:channels]
        ]
        data = np.stack(planes, axis=1)
    else:
        data = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels)
        data = data.reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller refuses it
        if kind in _SCALE:
            data = data / _SCALE[kind] - (1.0 if kind == "u8" else 0.0)
        return of_channels(data.astype(np.float32))


def of_channels(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples of shape [n, channels] in the shape of `Decoded`."""
    channels = data.shape[1]
    if channels == 1:
        return data[:, 0]
    return data if channels <= MAX_CHANNELS else mean(data)


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join parts; channels of parts with fewer channels are repeated."""
    if not parts:
        return np.zeros(0, np.float32)
    channels = max(1 if part.ndim == 1 else part.shape[1] for part in parts)
    if channels == 1:
        return np.concatenate(parts)
    return np.concatenate([_widened(part.reshape(len(part), -1), channels) for part in parts])


def _widened(part: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    if channels % part.shape[1]:
        part = mean(part)[:, None]
    return np.tile(part, (1, channels // part.shape[1]))


def not_audio(value: bytes, kind: str, error: Exception) -> DecodeError:
    """Return the error for bytes that do not decode."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DecodeError(f"{len(value)} bytes do not decode as {kind}: {reason}; check content-type")
