"""Audio of any rate to audio at the model's rate, station by station."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from stream.audio import AudioChunk, Cut, rescale
from stream.resample import Resampler


@dataclass(slots=True)
class _Station:
    resampler: Resampler
    rate: int
    next: int  # index of the next sample out, at the model's rate


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

    def push(self, items: Sequence[AudioChunk | Cut]) -> list[AudioChunk | Cut]:
        """Return the audio at the model's rate that `items` complete, and the cuts."""
        out: list[AudioChunk | Cut] = []
        for item in items:
            if isinstance(item, Cut):
                out += self._end(item.station)
                out.append(item)
            else:
                out += self._convert(item)
        return out

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._stations.pop(station, None)

    def _convert(self, chunk: AudioChunk) -> list[AudioChunk | Cut]:
        out: list[AudioChunk | Cut] = []
        state = self._stations.get(chunk.station)
        if state is not None and state.rate != chunk.rate:
            out += self._end(chunk.station)
            heard_to, state = state.next, None
        else:
            heard_to = None
        if state is None:
            aligned = _aligned(chunk, self.rate)
            if aligned is None:
                return out
            chunk = aligned
            start = rescale(chunk.start, chunk.rate, self.rate)
            state = _Station(Resampler(chunk.rate, self.rate), chunk.rate, start)
            self._stations[chunk.station] = state
            if heard_to is not None and heard_to < start:
                # The rate changed in mid-stream: silence, not a gap, over the few samples
                # between the old grid and the new.
                out += self._emit(chunk.station, state, np.zeros(start - heard_to), heard_to)
        return out + self._emit(chunk.station, state, state.resampler.push(chunk.samples))

    def _end(self, station: str) -> list[AudioChunk | Cut]:
        state = self._stations.pop(station, None)
        if state is None:
            return []
        return self._emit(station, state, state.resampler.push(np.zeros(0, np.float32), last=True))

    def _emit(
        self, station: str, state: _Station, samples: np.ndarray, start: int | None = None
    ) -> list[AudioChunk | Cut]:
        if not len(samples):
            return []
        if start is None:
            start = state.next
            state.next += len(samples)
        return [AudioChunk(station, start, samples.astype(np.float32, copy=False), self.rate)]


def _aligned(chunk: AudioChunk, rate: int) -> AudioChunk | None:
    """Return `chunk` from its first sample that coincides with one at `rate`, if it has any."""
    step = chunk.rate // gcd(chunk.rate, rate)
    skip = -chunk.start % step
    if skip >= len(chunk.samples):
        return None
    return replace(chunk, start=chunk.start + skip, samples=chunk.samples[skip:])
