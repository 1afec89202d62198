"""Chunks as they come to audio in order and without overlap, with the holes named."""

from __future__ import annotations

import logging
from bisect import insort
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stream.audio import AudioChunk, Cut, rescale

log = logging.getLogger(__name__)

_NS = 10**9  # ticks a second in which chunks of different rates are compared
_BACK_S = 60  # audio from so long before what was heard is no repetition: somebody counts anew
_AGAIN_S = 60  # so much in a row is more than a producer repeats that starts again
_GAPS = 16  # gaps of a station that are remembered, to tell late chunks from repeated ones


@dataclass(slots=True)
class _Position:
    next: int
    rate: int
    known: int = 0  # audio before this sample, at the cuts' rate, is in what was restored
    held: list[AudioChunk] = field(default_factory=list)  # those after a hole, by start
    reach: int = 0  # where the last of them ends, in ticks
    again: float = 0.0  # seconds in a row that were dropped since audio was new
    told_s: float | None = None  # where it was when it was told of such chunks
    gaps: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_GAPS))


class Align:
    """Keep each station's audio in order: drop what was heard, name what is missing.

    A chunk that begins at its station's position passes at once. One that lies before it is
    dropped, one that overlaps it is trimmed. One that begins after it is held, until what is
    missing has come or can come no more: the hole is given up, with a `Cut`, as soon as audio
    from more than `window_s` after the position is there::

        position  0 ├──0──┤├──2──┤            2 is held
                    ├──0──┤├──1──┤├──2──┤     1 has come: both pass
                    ├──0──┤       ├──2──┤├──3──┤├──4──┤   beyond the window: a cut, 2, 3, 4

    So time never runs backwards, no sample is heard twice, and nothing depends on how the audio
    is cut, on the clock, or on a restart: whoever hears again from any sample that was passed on
    decides the same.

    Parameters
    ----------
    rate : int > 0
        Samples per second that the cuts count in.
    window_s : float >= 0
        Seconds of audio that wait for a late chunk at most; 0 where sources know the order.

    Attributes
    ----------
    counts : Counter
        Chunks seen under ``chunks``, ``dropped`` (heard before), ``late`` (dropped as well: what
        they hold was given up), ``trimmed`` and ``reordered`` (were missing and came in time);
        ``gaps`` found.
    """

    def __init__(self, rate: int, window_s: float = 0.0) -> None:
        self.rate = rate
        self.counts: Counter[str] = Counter()
        self._window = round(window_s * _NS)
        self._positions: dict[str, _Position] = {}

    def push(self, chunks: Sequence[AudioChunk], *, last: bool = False) -> list[AudioChunk | Cut]:
        """Return the audio that is new and next, with a `Cut` wherever some is missing.

        With ``last=True`` nothing is waited for, and every station ends with a `Cut` without
        reason; a chunk that ``ends`` its station does so for this one, which keeps its position.
        """
        out: list[AudioChunk | Cut] = []
        for chunk in chunks:
            if len(chunk.samples):
                out += self._take(chunk)
            if chunk.ends and chunk.station in self._positions:
                out += self._end(chunk.station)
        if last:
            for station in self._positions:
                out += self._end(station)
            self._positions.clear()
        return out

    def restore(self, station: str, oldest: int, position: int) -> None:
        """Go on with a station whose audio is pushed again from `oldest` on.

        Parameters
        ----------
        station : str
            Which one.
        oldest, position : int
            At the cuts' rate; `position` is where the audio ended when the snapshot was taken.
            Of audio that is missing in between, what came before it is known all the same: no
            cut lies before `position`.
        """
        self._positions[station] = _Position(oldest, self.rate, position)

    def position(self, station: str) -> int:
        """Return the sample (at the cuts' rate) that `station` is expected to go on with."""
        position = self._positions.get(station)
        return 0 if position is None else self._at(position)

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._positions.pop(station, None)

    def _take(self, chunk: AudioChunk) -> list[AudioChunk | Cut]:
        self.counts["chunks"] += 1
        position = self._positions.get(chunk.station)
        if position is None:
            position = self._positions[chunk.station] = _Position(chunk.start, chunk.rate)
        if self._ahead(position, chunk) > 0:
            insort(position.held, chunk, key=_start)
            position.reach = max(position.reach, chunk.end * _NS // chunk.rate)
            return self._release(position, self._window)
        if position.held and self._is_new(position, chunk):
            self.counts["reordered"] += 1
        return self._pass(position, chunk) + self._release(position, self._window)

    def _release(self, position: _Position, window: int) -> list[AudioChunk | Cut]:
        """Pass on what is held as far as it follows, or lies beyond the window."""
        out: list[AudioChunk | Cut] = []
        held = position.held
        while held:
            waits = position.reach - position.next * _NS // position.rate <= window
            if waits and self._ahead(position, held[0]) > 0:
                break
            out += self._pass(position, held.pop(0))
        return out

    def _pass(self, position: _Position, chunk: AudioChunk) -> list[AudioChunk | Cut]:
        """Move on to the end of a chunk; return what of it is new, after the cut before it."""
        ahead, at = self._ahead(position, chunk), self._at(position)
        # At the chunk's rate; what is dropped moves nothing, not even by rounding.
        following = chunk.start - ahead
        if chunk.end <= following:
            self.counts["late" if self._was_given_up(position, chunk) else "dropped"] += 1
            self._tell_of(position, chunk, following)
            return []
        out: list[AudioChunk | Cut] = []
        if ahead < 0:
            self.counts["trimmed"] += 1
            chunk = _from(chunk, following)
        elif ahead > 0:
            known = rescale(position.known, self.rate, chunk.rate)
            if chunk.end <= known:  # heard before the restart, and of no use after the hole
                self.counts["dropped"] += 1
                return []
            chunk = _from(chunk, known)
            start = max(at, position.known)  # not rounded to the chunk's rate on the way
            end = max(rescale(chunk.start, chunk.rate, self.rate), start)
            position.gaps.append((start, end))
            self.counts["gaps"] += end > start
            reason = chunk.gap_reason if end > start else None
            out.append(Cut(chunk.station, start, end, self.rate, reason))
        position.next, position.rate, position.again = chunk.end, chunk.rate, 0.0
        out.append(chunk)
        return out

    def _end(self, station: str) -> list[AudioChunk | Cut]:
        """End a station where its audio does; it goes on from there if it returns."""
        position = self._positions[station]
        out = self._release(position, 0)
        end = max(self._at(position), position.known)
        # At the rate that a snapshot counts in: a station that returns finds the same after it.
        position.next, position.rate = end, self.rate
        return [*out, Cut(station, end, end, self.rate)]

    def _tell_of(self, position: _Position, chunk: AudioChunk, following: int) -> None:
        """Log, once in an hour of audio, that a station sends what cannot be new."""
        at_s, before_s = following / chunk.rate, (following - chunk.end) / chunk.rate
        position.again += len(chunk.samples) / chunk.rate
        is_repetition = before_s < _BACK_S and position.again < _AGAIN_S
        if is_repetition or (position.told_s is not None and at_s - position.told_s < 3600):
            return
        position.told_s = at_s
        log.warning(
            "its samples are counted anew, or are sent again: what begins at sample %d lies before "
            "sample %d, where it goes on, and is dropped; a producer must go on counting",
            chunk.start,
            following,
            extra={"station": chunk.station},
        )

    def _ahead(self, position: _Position, chunk: AudioChunk) -> int:
        """Return how many samples, at its rate, a chunk begins after the position."""
        ahead = chunk.start - rescale(position.next, position.rate, chunk.rate)
        # Whoever counts at two rates rounds, here and there: that is no gap.
        rounded = position.rate != chunk.rate and 0 < ahead <= -(-chunk.rate // self.rate)
        return 0 if rounded else ahead

    def _is_new(self, position: _Position, chunk: AudioChunk) -> bool:
        return chunk.end > rescale(position.next, position.rate, chunk.rate)

    def _was_given_up(self, position: _Position, chunk: AudioChunk) -> bool:
        start = rescale(chunk.start, chunk.rate, self.rate)
        end = rescale(chunk.end, chunk.rate, self.rate)
        return any(start < gap_end and gap_start < end for gap_start, gap_end in position.gaps)

    def _at(self, position: _Position) -> int:
        return rescale(position.next, position.rate, self.rate)


def _from(chunk: AudioChunk, start: int) -> AudioChunk:
    """Return a chunk without its samples before `start`."""
    n = start - chunk.start
    if n <= 0:
        return chunk
    time = None if chunk.time is None else chunk.time + n / chunk.rate
    return replace(chunk, start=start, samples=chunk.samples[n:], time=time)


def _start(chunk: AudioChunk) -> int:
    return chunk.start * _NS // chunk.rate
