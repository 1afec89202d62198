"""Audio of any rate to audio at the model's rate, station by station."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from stream.audio import AudioChunk, Discontinuity, EndOfStream, rescale
from stream.polyphase import PolyphaseResampler
from stream.resampler import GridResampler, resampler_from
from stream.session import Session, Sessions, Stage
from stream.stages.align import Aligned


@dataclass(slots=True)
class ResampleState:
    """A station's resampler, and where it is in samples at the model's rate."""

    resampler: (
        GridResampler | PolyphaseResampler | None
    )  # None after a change of rate, until the new grid begins
    rate: int  # of what comes in
    begin: int  # first sample out since the latest break
    start: int  # and since the latest change of the rate
    next: int  # next sample out
    repeated: int = 0  # samples to drop first, because the resampler before has given them


class Resample(Stage):
    """Bring every station's audio to one rate.

    A station's first sample is taken where an input and an output sample coincide (at 44.1 to
    16 kHz every 441st, so at most 10 ms are left out), so that resuming anywhere gives the same
    output samples as never having stopped.

    Parameters
    ----------
    rate : int > 0
        Samples per second of what comes out: the model's.
    """

    name = "resample"

    def __init__(self, rate: int) -> None:
        self.sessions = Sessions()
        self.rate = rate

    def push(self, items: Sequence[Aligned]) -> list[Aligned]:
        """Return the audio at the model's rate that `items` complete, with breaks and ends."""
        out: list[Aligned] = []
        for item in items:
            session = self.sessions[item.station]
            if isinstance(item, AudioChunk):
                out += self._convert(session, item)
                continue
            if session.resample is not None and isinstance(item, Discontinuity | EndOfStream):
                out += self._flush(item.station, session.resample)
                session.resample = None
            out.append(item)
        return out

    def oldest(self, session: Session, sample: int) -> int:
        """Return where to begin again so that all is the same to the last bit from `sample` on."""
        state = session.resample
        if state is None:
            return sample
        if session.columns is None and state.resampler is not None:
            sample = min(sample, state.begin)  # all that came is still in front of the columns
        if state.resampler is not None and state.rate == self.rate and sample >= state.start:
            return sample
        begin = GridResampler.begin_before(sample, self.rate)
        # The audio itself may have begun off the grid, after it.
        return min(max(begin, state.begin), sample)

    def _convert(self, session: Session, chunk: AudioChunk) -> list[AudioChunk]:
        station, out = chunk.station, list[AudioChunk]()
        before = session.resample
        if before is not None and before.rate != chunk.rate:
            out += self._flush(station, before)
            before.resampler = None
        if before is None or before.resampler is None:
            aligned = _aligned(chunk, self.rate)
            if aligned is None:
                return out
            chunk = aligned
            start = rescale(chunk.start, chunk.rate, self.rate)
            resampler = resampler_from(chunk.rate, self.rate, chunk.start)
            state = ResampleState(resampler, chunk.rate, start, start, start)
            session.resample = state
            if before is not None:
                # The rate changed in mid-stream: silence, not a gap, over the few samples between
                # the old grid and the new. Where rounding makes them overlap, the old one wins.
                state.begin = before.begin
                state.repeated = max(before.next - start, 0)
                if before.next < start:
                    state.next = before.next
                    out += self._emit(station, state, np.zeros(start - before.next))
        else:
            state, resampler = before, before.resampler
        return out + self._emit(station, state, resampler.push(chunk.samples))

    def _flush(self, station: str, state: ResampleState) -> list[AudioChunk]:
        """Return what the resampler holds back."""
        if state.resampler is None:
            return []
        return self._emit(station, state, state.resampler.push(np.zeros(0, np.float32), last=True))

    def _emit(self, station: str, state: ResampleState, samples: np.ndarray) -> list[AudioChunk]:
        repeated = min(state.repeated, len(samples))
        state.repeated -= repeated
        start = state.next + repeated
        state.next += len(samples)
        samples = samples[repeated:]
        if not len(samples):
            return []
        return [AudioChunk(station, start, samples.astype(np.float32, copy=False), self.rate)]


def _aligned(chunk: AudioChunk, rate: int) -> AudioChunk | None:
    """Return `chunk` from its first sample that coincides with one at `rate`, if it has any."""
    step = chunk.rate // gcd(chunk.rate, rate)
    skip = -chunk.start % step
    if skip >= len(chunk.samples):
        return None
    return replace(chunk, start=chunk.start + skip, samples=chunk.samples[skip:])
