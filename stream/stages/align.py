"""Chunks as they come to audio in order and without overlap, with what is missing named."""

from __future__ import annotations

import logging
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from stream.audio import AudioChunk, Discontinuity, Ending, EndOfStream, rescale
from stream.session import Session, Sessions, Stage

log = logging.getLogger(__name__)

Aligned = AudioChunk | Discontinuity | EndOfStream

_NS = 10**9  # ticks per second, in which chunks of different rates are compared
_BACK_S = 60  # audio from further back than this is no repetition: the producer counts anew
_AGAIN_S = 60  # a producer that restarts repeats less than this in a row
_MAX_GAPS = 16  # remembered per station, to tell late chunks from repeated ones


@dataclass(slots=True)
class AlignState:
    """Where a station's audio goes on."""

    next: int
    rate: int
    known: int = 0  # audio before this sample, at the model's rate, is in what was restored
    held: list[AudioChunk] = field(default_factory=list)  # those behind missing audio, by start
    reach: int = 0  # where the last of them ends, in ticks
    again: float = 0.0  # seconds in a row that were dropped since audio was new
    logged_s: float | None = None  # position when dropped chunks were last logged
    gaps: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_MAX_GAPS))


class Align(Stage):
    """Put each station's audio in order: drop repeated samples, name missing ones.

    A chunk that begins at its station's position passes at once. One that lies before it is
    dropped, one that overlaps it is trimmed. One that begins after it is held until the missing
    audio has come, or until audio from more than `window_s` after the position is there: then a
    `Discontinuity` stands for what is missing::

        position  0 ├──0──┤├──2──┤            2 is held
                    ├──0──┤├──1──┤├──2──┤     1 has come: both pass
                    ├──0──┤       ├──2──┤├──3──┤├──4──┤   beyond the window: a break, 2, 3, 4

    So time never runs backwards, no sample is processed twice, and nothing depends on how the
    audio is cut into chunks, on the clock, or on a restart.

    Parameters
    ----------
    rate : int > 0
        The model's samples per second, in which breaks are counted.
    window_s : float >= 0
        Maximum seconds of audio that wait for a late chunk; 0 where sources know the order.

    Attributes
    ----------
    counts : Counter
        ``chunks``, ``dropped`` (repeated), ``late`` (dropped as well: their place was given up),
        ``trimmed``, ``reordered`` (were missing and came in time) and ``gaps``.
    may_be_late : callable
        Whether a station's chunks may come late, so that one that is missing is waited for; by
        default those of all stations.
    """

    name = "align"

    def __init__(self, rate: int, window_s: float = 0.0) -> None:
        self.sessions = Sessions()
        self.rate = rate
        self.counts: Counter[str] = Counter()
        self.may_be_late: Callable[[str], bool] = lambda station: True
        self._window = round(window_s * _NS)

    def push(self, items: Sequence[AudioChunk]) -> list[Aligned]:
        """Return the audio that is new and next, with its breaks and ends."""
        out: list[Aligned] = []
        for chunk in items:
            if len(chunk.samples):
                out += self._process(self.sessions[chunk.station], chunk)
            if chunk.ends and chunk.station in self.sessions:
                out += self._end(self.sessions[chunk.station], chunk.ends)
        return out

    def snapshot(self, session: Session) -> int:
        """Return the sample (at the model's rate) at which the station's audio goes on."""
        return 0 if session.align is None else self._position(session.align)

    def restore(self, session: Session, part: int) -> None:
        """Go on at the snapshot's oldest sample; nothing that is missing before `part` is a gap."""
        oldest = session.restored.oldest if session.restored else part
        session.align = AlignState(oldest, self.rate, part)

    def _process(self, session: Session, chunk: AudioChunk) -> list[Aligned]:
        self.counts["chunks"] += 1
        state = session.align
        if state is None:
            state = session.align = AlignState(chunk.start, chunk.rate)
        if self._ahead(state, chunk) > 0:
            insort(state.held, chunk, key=_start)
            state.reach = max(state.reach, chunk.end * _NS // chunk.rate)
            return self._release(state, self._window_of(chunk.station))
        if state.held and self._is_new(state, chunk):
            self.counts["reordered"] += 1
        return self._pass(state, chunk) + self._release(state, self._window_of(chunk.station))

    def _window_of(self, station: str) -> int:
        return self._window if self._window and self.may_be_late(station) else 0

    def _release(self, state: AlignState, window: int) -> list[Aligned]:
        """Pass on what is held as far as it follows, or lies beyond the window."""
        out: list[Aligned] = []
        held = state.held
        while held:
            waits = state.reach - state.next * _NS // state.rate <= window
            if waits and self._ahead(state, held[0]) > 0:
                break
            out += self._pass(state, held.pop(0))
        return out

    def _pass(self, state: AlignState, chunk: AudioChunk) -> list[Aligned]:
        """Move on to the end of a chunk; return its new samples, behind the break before them."""
        ahead, position = self._ahead(state, chunk), self._position(state)
        # At the chunk's rate; a chunk that is dropped moves nothing, not even by rounding.
        following = chunk.start - ahead
        if chunk.end <= following:
            self.counts["late" if self._was_given_up(state, chunk) else "dropped"] += 1
            self._log_dropped(state, chunk, following)
            return []
        out: list[Aligned] = []
        if ahead < 0:
            self.counts["trimmed"] += 1
            chunk = _from(chunk, following)
        elif ahead > 0:
            known = rescale(state.known, self.rate, chunk.rate)
            if chunk.end <= known:  # processed before the restart, and of no use behind the gap
                self.counts["dropped"] += 1
                return []
            chunk = _from(chunk, known)
            start = max(position, state.known)  # not rounded to the chunk's rate on the way
            end = max(rescale(chunk.start, chunk.rate, self.rate), start)
            state.gaps.append((start, end))
            if end > start:
                self.counts["gaps"] += 1
                out.append(Discontinuity(chunk.station, start, end, self.rate, chunk.gap_reason))
            else:  # what is missing was processed before the restart: no gap to publish
                out.append(EndOfStream(chunk.station, start, self.rate))
        state.next, state.rate, state.again = chunk.end, chunk.rate, 0.0
        out.append(chunk)
        return out

    def _end(self, session: Session, ends: Ending) -> list[Aligned]:
        """End a station where its audio does; it goes on from there if it returns."""
        state = session.align
        if state is None:
            return []
        out = self._release(state, 0)
        end = max(self._position(state), state.known)
        # At the rate that a snapshot counts in: a station that returns finds the same after it.
        state.next, state.rate = end, self.rate
        return [*out, EndOfStream(session.station, end, self.rate, ends)]

    def _log_dropped(self, state: AlignState, chunk: AudioChunk, following: int) -> None:
        """Log, once in an hour of audio, that a station sends what cannot be new."""
        at_s, before_s = following / chunk.rate, (following - chunk.end) / chunk.rate
        state.again += len(chunk.samples) / chunk.rate
        is_repetition = before_s < _BACK_S and state.again < _AGAIN_S
        if is_repetition or (state.logged_s is not None and at_s - state.logged_s < 3600):
            return
        state.logged_s = at_s
        log.warning(
            "its samples are counted anew, or are sent again: what begins at sample %d lies before "
            "sample %d, where it goes on, and is dropped; a producer must go on counting",
            chunk.start,
            following,
            extra={"station": chunk.station},
        )

    def _ahead(self, state: AlignState, chunk: AudioChunk) -> int:
        """Return how many samples, at its rate, a chunk begins after the position."""
        ahead = chunk.start - rescale(state.next, state.rate, chunk.rate)
        # A producer that counts at two rates rounds at each change: that is no gap.
        rounded = state.rate != chunk.rate and 0 < ahead <= -(-chunk.rate // self.rate)
        return 0 if rounded else ahead

    def _is_new(self, state: AlignState, chunk: AudioChunk) -> bool:
        return chunk.end > rescale(state.next, state.rate, chunk.rate)

    def _was_given_up(self, state: AlignState, chunk: AudioChunk) -> bool:
        start = rescale(chunk.start, chunk.rate, self.rate)
        end = rescale(chunk.end, chunk.rate, self.rate)
        return any(start < gap_end and gap_start < end for gap_start, gap_end in state.gaps)

    def _position(self, state: AlignState) -> int:
        return rescale(state.next, state.rate, self.rate)


def _from(chunk: AudioChunk, start: int) -> AudioChunk:
    """Return a chunk without its samples before `start`."""
    n = start - chunk.start
    if n <= 0:
        return chunk
    time = None if chunk.time is None else chunk.time + n / chunk.rate
    return replace(chunk, start=start, samples=chunk.samples[n:], time=time)


def _start(chunk: AudioChunk) -> int:
    return chunk.start * _NS // chunk.rate
