"""Audio of several channels to mono, the same for files, web radio, microphones and Kafka.

`MonoMixer` mixes one stream, `ToMono` is the stage of the pipeline. Mono audio passes at once.
Audio of more channels is held back for up to 0.1 s, until its block is complete. Blocks lie on
multiples of their length from sample 0, so the output does not depend on how the audio was cut.
The mixture of a block depends only on the 4 s before it, so a restart that repeats those gives
the same samples.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stream.audio import AudioChunk, Discontinuity, EndOfStream, rescale
from stream.decoding.channels import BLOCKS_PER_S, MAX_CHANNELS, WINDOW, ChannelWeights
from stream.session import Session, Sessions, Stage
from stream.stages.align import Aligned
from stream.telemetry.channel_faults import ChannelFaults

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_FADE_S = 0.02  # from one mixture to the next
# A block's samples depend on its window and, through the fade, on that of the block before. The
# first block of a repetition may be cut.
_MEMORY_S = (WINDOW + 2) / BLOCKS_PER_S


class MonoMixer:
    """One stream of samples of a fixed number of channels.

    Parameters
    ----------
    channels : int > 0
        How many there are.
    rate : int > 0
        Samples per second.
    start : int >= 0
        Index of the first sample.
    """

    def __init__(self, channels: int, rate: int, start: int = 0) -> None:
        self._channels = channels
        self._weights = self._faults = None
        if 1 < channels <= MAX_CHANNELS:
            self._weights = ChannelWeights(channels, rate)
            self._faults = ChannelFaults(channels)
        self._fade = max(round(_FADE_S * rate), 1)
        self._next = start  # index of the first sample held
        self._held = np.zeros((0, channels), np.float32)
        self._before: NDArray[np.float32] | None = None  # the weights of the block before

    @property
    def held(self) -> int:
        """Samples that wait for their block to be complete."""
        return len(self._held)

    def push(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[str]]:
        """Take the next samples; return mono samples, and a line for each change of a fault.

        Parameters
        ----------
        samples : np.ndarray [shape=(n, channels), float32]
            What follows. Channels that lie apart in memory are mixed fastest.

        Returns
        -------
        np.ndarray [shape=(m,), float32]
            The blocks that are complete.
        list of str
            See `ChannelFaults`.
        """
        if self._weights is None:
            return mean(samples), []
        block = self._weights.block
        if self.held:
            samples = np.concatenate([self._held, samples])
        whole = (self._next + len(samples)) // block * block - self._next
        if whole <= 0:
            self._held = samples
            return np.zeros(0, np.float32), []
        self._held = samples[whole:].copy()
        return self._mix(samples[:whole])

    def flush(self) -> tuple[NDArray[np.float32], list[str]]:
        """Return what is held back, as if silence followed. The next sample follows this one."""
        if not self.held:
            return np.zeros(0, np.float32), []
        held, self._held = self._held, self._held[:0]
        return self._mix(held)

    def _mix(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[str]]:
        """Mix blocks, of which the first and the last may be cut."""
        assert self._weights is not None
        assert self._faults is not None
        block = self._weights.block
        front, self._next = self._next % block, self._next + len(samples)
        planes = np.ascontiguousarray(samples.T)
        blocks, back = planes, -(front + len(samples)) % block
        if front or back:
            blocks = np.pad(planes, ((0, 0), (front, back)))
        blocks = blocks.reshape(self._channels, -1, block)
        with np.errstate(all="ignore"):  # samples may not be finite
            weights = self._weights.push(blocks)
            lines = self._faults.push(weights, _power(blocks))
        mixed, of_mean = mean(planes.T), self._weights.mean
        for i, mixture in enumerate(weights):
            before = mixture if self._before is None else self._before
            self._before = mixture
            if mixture is before is of_mean:
                continue
            a, b = max(i * block - front, 0), (i + 1) * block - front
            part = planes[:, a:b].T
            mixed[a:b] = self._mixture(part, mixture)
            if mixture is not before and not np.array_equal(before, mixture):
                n = min(self._fade, len(part))
                ramp = ((np.arange(n, dtype=np.float32) + 0.5) / n).astype(np.float32)
                old = self._mixture(part[:n], before)
                mixed[a : a + n] = old + (mixed[a : a + n] - old) * ramp
        return mixed, lines

    def _mixture(
        self, samples: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        assert self._weights is not None
        if weights is self._weights.mean:
            return mean(samples)
        total: NDArray[np.float32] = samples[:, 0] * weights[0]
        for channel in range(1, self._channels):
            total += samples[:, channel] * weights[channel]
        return total


@dataclass(slots=True)
class MonoState:
    """A station's mixer, and what is in front of it."""

    start: int  # first sample since the latest break, at the model's rate
    mixer: MonoMixer | None = None  # None while the audio is mono
    kind: tuple[int, int] = (0, 0)  # channels and rate of the latest chunk
    first: AudioChunk | None = None  # has the time and gap reason of the mixer's first sample
    end: int = 0  # of the latest chunk, at its rate
    is_mono: bool = True  # and was since the latest break


class ToMono(Stage):
    """Bring every station's audio to mono.

    Parameters
    ----------
    rate : int > 0
        The model's samples per second.
    """

    name = "mono"

    def __init__(self, rate: int) -> None:
        self.sessions = Sessions()
        self.rate = rate

    def push(self, items: Sequence[Aligned]) -> list[Aligned]:
        """Return the mono audio that `items` complete, with breaks and ends."""
        out: list[Aligned] = []
        for item in items:
            session = self.sessions[item.station]
            if isinstance(item, AudioChunk):
                out += self._process(session, item)
                continue
            if session.mono is not None and isinstance(item, Discontinuity | EndOfStream):
                out += _flush(session.mono)
                session.mono = None
            out.append(item)
        return out

    def oldest(self, session: Session, sample: int) -> int:
        """Return where to begin again so that all is the same to the last bit from `sample` on."""
        state = session.mono
        if state is None:
            return sample
        if session.resample is None and session.columns is None:
            sample = min(sample, state.start)  # all that came is still in front of them
        if state.is_mono:
            return sample
        return min(max(sample - round(_MEMORY_S * self.rate), state.start), sample)

    def _process(self, session: Session, chunk: AudioChunk) -> list[AudioChunk]:
        samples, out = chunk.samples, list[AudioChunk]()
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        state = session.mono
        if state is None:
            state = session.mono = MonoState(rescale(chunk.start, chunk.rate, self.rate))
        jumps = state.mixer is not None and chunk.start != state.end
        if (channels, chunk.rate) != state.kind or jumps:
            out += _flush(state)
            state.kind = channels, chunk.rate
            state.mixer = None if channels == 1 else MonoMixer(channels, chunk.rate, chunk.start)
        state.end = chunk.end
        if state.mixer is None:
            out.append(replace(chunk, samples=samples.reshape(-1)) if samples.ndim > 1 else chunk)
        else:
            state.is_mono = False
            state.first = state.first or chunk
            out += _mixed(state, *state.mixer.push(samples))
            if state.mixer.held:
                state.first = _from(chunk, chunk.end - state.mixer.held, state.first)
        return out


def _flush(state: MonoState) -> list[AudioChunk]:
    """Return what the mixer holds, and let it go."""
    if state.mixer is None:
        return []
    out = _mixed(state, *state.mixer.flush())
    state.kind, state.mixer, state.first = (0, 0), None, None
    return out


def _mixed(state: MonoState, samples: NDArray[np.float32], lines: list[str]) -> list[AudioChunk]:
    """Return what is mixed, in a chunk that begins where the last one ended."""
    first = state.first
    if first is None:
        return []
    for line in lines:
        log.warning("%s", line, extra={"station": first.station})
    if not len(samples):
        return []
    state.first = None
    return [replace(first, samples=samples)]


def mean(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over the channels of samples of shape [n, channels]."""
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0].copy()
    total: NDArray[np.float32] = samples[:, 0] + samples[:, 1]
    for channel in range(2, channels):
        total += samples[:, channel]
    total /= np.float32(channels)
    return total


def _power(blocks: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean square of each block's channels, shape [k, channels]."""
    power: NDArray[np.float64] = np.vecdot(blocks, blocks).T.astype(np.float64) / blocks.shape[2]
    return power if np.isfinite(power).all() else np.nan_to_num(power)


def _from(chunk: AudioChunk, start: int, before: AudioChunk | None) -> AudioChunk:
    """Return a chunk as if it began at a later sample, or `before` where that begins earlier."""
    if before is not None and start < chunk.start:
        return before
    time = None if chunk.time is None else chunk.time + (start - chunk.start) / chunk.rate
    gap = chunk.gap_reason if start == chunk.start else "missing"
    return replace(chunk, start=start, time=time, gap_reason=gap)
