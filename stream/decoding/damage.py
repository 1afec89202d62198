"""Faults of decoded audio, and the length of the audio lost to them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from numpy.typing import NDArray

MAX_CHANNELS = 64  # FFmpeg's mixing matrix holds no more
MIN_RATE, MAX_RATE = 1_000, 768_000  # samples per second; others are damage
MAX_FRAME = 1 << 24  # samples of one decoded frame, all channels: 64 MB of float32
MAX_SAMPLE = 1e6  # 120 dB over full scale; some float files hold integers up to 32768
NEAR_S = 0.1  # the samples between bad samples this close are left out too


class Damage:
    """Audio lost since the last sound frame.

    Attributes
    ----------
    count : int
        Packets, frames or ranges of samples lost.
    seconds : Fraction
        Their known length.
    reason : str
        The fault of the latest of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.seconds = Fraction(0)
        self.reason = "there is none"

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, seconds: Fraction, reason: str) -> None:
        """Count one more loss, next to the others."""
        self.count += 1
        self.seconds += seconds
        self.reason = reason


def fault_of(frame: AudioFrame) -> str | None:
    """Return the fault of a decoded frame, None for a sound one."""
    channels, rate = frame.layout.nb_channels, frame.sample_rate
    if not 1 <= channels <= MAX_CHANNELS:
        return f"it has {channels} channels, 1 to {MAX_CHANNELS} can be read"
    if not MIN_RATE <= rate <= MAX_RATE:
        return f"its rate is {rate} Hz, {MIN_RATE} to {MAX_RATE} can be read"
    if frame.samples * channels > MAX_FRAME:
        return f"a frame has {frame.samples} samples, {MAX_FRAME // channels} can be read"
    return None


def length_of(item: Packet[AudioStream] | AudioFrame | None) -> Fraction:
    """Return the length of a packet or frame in seconds, 0 where it is unknown."""
    if item is None or not item.duration or not item.time_base:
        return Fraction(0)
    return item.duration * Fraction(item.time_base)


def is_last_cut(sizes: Sequence[int]) -> bool:
    """Return whether the last of some packets of one size is shorter than the others."""
    *before, last = sizes or (0,)
    return len(before) > 1 and max(before) - min(before) <= 1 and last < min(before)


def split_sound(
    samples: NDArray[np.float32], rate: int
) -> Iterator[tuple[NDArray[np.float32], str | None]]:
    """Split samples into sound ones (with None) and others (with the reason)."""
    if samples.max() <= MAX_SAMPLE and samples.min() >= -MAX_SAMPLE:  # False with any NaN
        yield samples, None
        return
    is_bad = ~(np.abs(samples) <= MAX_SAMPLE)
    bad = np.flatnonzero(is_bad if is_bad.ndim == 1 else is_bad.any(axis=1))
    far = np.flatnonzero(np.diff(bad) > NEAR_S * rate)
    done = 0
    for first, last in zip(bad[np.r_[0, far + 1]], bad[np.r_[far, -1]], strict=True):
        if first > done:
            yield samples[done:first], None
        done = last + 1
        finite = bool(np.isfinite(samples[first:done]).all())
        why = f"samples above {MAX_SAMPLE:.0f} times full scale" if finite else "non-finite samples"
        yield samples[first:done], why
    if done < len(samples):
        yield samples[done:], None
