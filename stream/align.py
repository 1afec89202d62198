"""Chunks as they come to audio without overlap, with the holes named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stream.audio import AudioChunk, Cut, rescale


@dataclass(slots=True)
class _Position:
    next: int
    rate: int


class Align:
    """Keep each station's audio in order: drop what was heard, name what is missing.

    A chunk that lies before the station's position is dropped, one that overlaps it is
    trimmed, one that starts after it is preceded by a `Cut`. So time never runs backwards
    and no sample is heard twice.

    Parameters
    ----------
    rate : int > 0
        Samples per second that the cuts count in.

    Attributes
    ----------
    counts : Counter
        Chunks seen under ``chunks``, ``dropped`` and ``trimmed``; ``gaps`` found.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.counts: Counter[str] = Counter()
        self._positions: dict[str, _Position] = {}

    def push(self, chunks: Sequence[AudioChunk], *, last: bool = False) -> list[AudioChunk | Cut]:
        """Return the chunks that are new, with a `Cut` wherever audio is missing.

        With ``last=True`` every station ends with a `Cut` without reason.
        """
        out: list[AudioChunk | Cut] = []
        for chunk in chunks:
            out += self._align(chunk)
        if last:
            for station in list(self._positions):
                end = self._at(self._positions.pop(station))
                out.append(Cut(station, end, end, self.rate))
        return out

    def expect(self, station: str, sample: int) -> None:
        """Say that the audio of `station` goes on at `sample` (at the cuts' rate)."""
        self._positions[station] = _Position(sample, self.rate)

    def position(self, station: str) -> int:
        """Return the sample (at the cuts' rate) that `station` is expected to go on with."""
        position = self._positions.get(station)
        return 0 if position is None else self._at(position)

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._positions.pop(station, None)

    def _align(self, chunk: AudioChunk) -> list[AudioChunk | Cut]:
        self.counts["chunks"] += 1
        position = self._positions.get(chunk.station)
        if position is None:
            position = self._positions[chunk.station] = _Position(chunk.start, chunk.rate)
        elif position.rate != chunk.rate:
            position.next = rescale(position.next, position.rate, chunk.rate)
            position.rate = chunk.rate
            # Whoever counts at two rates rounds, here and there: that is no gap.
            if 0 < chunk.start - position.next <= -(-chunk.rate // self.rate):
                position.next = chunk.start
        if chunk.end <= position.next:
            self.counts["dropped"] += 1
            return []
        out: list[AudioChunk | Cut] = []
        if chunk.start < position.next:
            self.counts["trimmed"] += 1
            heard = position.next - chunk.start
            time = None if chunk.time is None else chunk.time + heard / chunk.rate
            chunk = replace(chunk, start=position.next, samples=chunk.samples[heard:], time=time)
        elif chunk.start > position.next:
            self.counts["gaps"] += 1
            gap_end = rescale(chunk.start, chunk.rate, self.rate)
            start = self._at(position)
            out.append(Cut(chunk.station, start, gap_end, self.rate, chunk.gap_reason))
        position.next = chunk.end
        out.append(chunk)
        return out

    def _at(self, position: _Position) -> int:
        return rescale(position.next, position.rate, self.rate)
