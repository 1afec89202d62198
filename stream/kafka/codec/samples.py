"""Decoded audio of messages: FFmpeg's frames to samples, and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from av.audio.resampler import AudioResampler

from airsift.errors import DecodeError
from stream.decoding.channels import MAX_CHANNELS
from stream.decoding.planes import is_readable, planes_of
from stream.stages.mono import mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

    from stream.kafka.settings import WireSettings


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
    alike: list[AudioFrame] = []  # consecutive frames of one kind, read at once
    kind = ("", 0, 0)  # of `alike`: format, channels, rate
    total = 0
    for frame in frames:
        if isinstance(frame, int):
            parts += _read(alike)
            alike = []
            parts.append(np.zeros(frame, np.float32))
            total += frame
        else:
            its_kind = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
            if its_kind != kind:
                if rate and its_kind[2] != rate and (parts or alike):
                    raise DecodeError(
                        f"the rate changes from {rate} to {its_kind[2]} within one message; "
                        "begin a new message where the rate changes"
                    )
                parts += _read(alike)
                alike = []
                kind, rate = its_kind, its_kind[2]
                check_shape(kind[1], rate, limits)
            alike.append(frame)
            total += frame.samples
        check_length(total, rate or limits.max_rate, limits)
    return Decoded(_joined(parts + _read(alike)), rate)


def _read(frames: list[AudioFrame]) -> list[NDArray[np.float32]]:
    """Return the samples of frames of one kind as one part, in the shape of `Decoded`."""
    if not frames:
        return []
    if not is_readable(frames[0]):
        packer = AudioResampler(frames[0].format.packed, frames[0].layout, frames[0].sample_rate)
        frames = [packed for frame in frames for packed in packer.resample(frame)]
    return [of_channels(planes_of(frames).T)]


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
    if len(parts) == 1:
        return parts[0]
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
