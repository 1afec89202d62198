"""Audio of any rate to audio at the model's rate, station by station."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from stream.audio import AudioChunk, Cut, rescale
from stream.resampler import GridResampler


@dataclass(slots=True)
class _Station:
    resampler: GridResampler
    rate: int
    session: int  # index of the first sample out since the latest cut, at the model's rate
    start: int  # and since the latest change of the rate in
    next: int  # index of the next one
    repeated: int = 0  # samples to drop first, because the rate before has given them


class Resample:
    """Bring every station's audio to one rate.

    A station's first sample is taken where an input and an output sample coincide (at 44.1 to
    16 kHz every 441st, so at most 10 ms are left out), so that resuming anywhere gives the same
    output samples as never having stopped.

    Parameters
    ----------
    rate : int > 0
        Samples per second of what comes out.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._stations: dict[str, _Station] = {}
        # Where stations end whose rate has changed and whose new grid has not begun.
        self._changing: dict[str, tuple[int, int]] = {}  # and where they began

    def push(self, items: Sequence[AudioChunk | Cut]) -> list[AudioChunk | Cut]:
        """Return the audio at the model's rate that `items` complete, and the cuts."""
        out: list[AudioChunk | Cut] = []
        for item in items:
            if isinstance(item, Cut):
                out += self._end(item.station)
                self._changing.pop(item.station, None)
                out.append(item)
            else:
                out += self._convert(item)
        return out

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._stations.pop(station, None)
        self._changing.pop(station, None)

    def oldest(self, station: str) -> int | None:
        """Return the first sample (at the model's rate) since the latest cut.

        None for a station that is not being heard.
        """
        state = self._stations.get(station)
        return None if state is None else state.session

    def needs(self, station: str, sample: int) -> int:
        """Return where to begin again so that all is the same to the last bit from `sample` on."""
        state = self._stations.get(station)
        if state is None and station in self._changing:
            session = self._changing[station][1]
        elif state is None or (state.rate == self.rate and sample >= state.start):
            return sample
        else:
            session = state.session
        begin = GridResampler.begin_before(sample, self.rate)
        # The session itself may have begun off the grid, after it.
        return min(max(begin, session), sample)

    def _convert(self, chunk: AudioChunk) -> list[AudioChunk | Cut]:
        out: list[AudioChunk | Cut] = []
        state = self._stations.get(chunk.station)
        if state is not None and state.rate != chunk.rate:
            out += self._end(chunk.station)
            self._changing[chunk.station] = state.next, state.session
            state = None
        if state is None:
            aligned = _aligned(chunk, self.rate)
            if aligned is None:
                return out
            chunk = aligned
            start = rescale(chunk.start, chunk.rate, self.rate)
            resampler = GridResampler(chunk.rate, self.rate, chunk.start)
            heard_to, session = self._changing.pop(chunk.station, (start, start))
            state = _Station(resampler, chunk.rate, session, start, start)
            self._stations[chunk.station] = state
            # The rate changed in mid-stream: silence, not a gap, over the few samples between
            # the old grid and the new. Where rounding makes them overlap, the old one wins.
            state.repeated = max(heard_to - start, 0)
            if heard_to < start:
                state.next = heard_to
                out += self._emit(chunk.station, state, np.zeros(start - heard_to))
        return out + self._emit(chunk.station, state, state.resampler.push(chunk.samples))

    def _end(self, station: str) -> list[AudioChunk | Cut]:
        state = self._stations.pop(station, None)
        if state is None:
            return []
        return self._emit(station, state, state.resampler.push(np.zeros(0, np.float32), last=True))

    def _emit(self, station: str, state: _Station, samples: np.ndarray) -> list[AudioChunk | Cut]:
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
