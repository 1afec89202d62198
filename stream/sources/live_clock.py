"""The position and time of a live stream's audio, estimated from its arrival.

Audio cannot arrive before it was on air. So the earliest arrival, relative to the count of samples,
is an upper bound of the time at which sample 0 was on air, and is used as that time::

    arrival of a sample  -  its position in the station   >=   time of sample 0

A server begins a connection with a burst of its last seconds, so the position of new audio is
known only after the burst; until then the audio is *gathered*. The same is done after a stall:
audio that the server delivers late was not lost; audio that it does not deliver is a gap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream.audio import rescale
from stream.sources.overlap import find_overlap
from stream.stages.mono import mean
from stream.timekeeping import slewed

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETTLE_S = 2.0  # at real time, after which a burst is over
AHEAD_S = 120.0  # audio this far ahead of the clock is a file, not a live stream
_PACE = 1.5  # times real time; slower audio is no burst
_MAX_GATHER_S = 60.0
_STALL_S = 1.0  # without audio
_MAX_LATE_S = 60.0  # later audio follows a loss, as no server buffers this much
_SMALL_S = 0.1  # the time may change this much at once without moving a published event
_MIN_GAP_S = 0.02  # one column: audio before and after it is not joined
_LATELY_S = 3.0  # window for the minimum lateness, which is the server's delay
_CUT_S = 1.0  # after a stall, a damaged frame within this time marks the cut
_TAIL_S = 75.0  # audio in which repetitions are searched


class PositionedAudio(NamedTuple):
    """Audio with its position.

    Parameters
    ----------
    start : int >= 0
        First sample, from the station's sample 0.
    samples : np.ndarray [shape=(n,) or (n, channels), float32]
        The audio.
    rate : int > 0
        Samples per second.
    time : float
        Unix time at which the first sample was on air.
    reason : str
        Why audio before it is missing, if it is.
    """

    start: int
    samples: NDArray[np.float32]
    rate: int
    time: float
    reason: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate


class _Piece(NamedTuple):
    samples: NDArray[np.float32]
    arrived: float
    skip: int  # samples lost before it
    reason: str


@dataclass(slots=True)
class _Gather:
    """Audio whose position is not known yet."""

    reason: str
    late_s: float = 0.0  # of the audio before
    began: float | None = None
    zero: float = float("inf")  # when its first sample was on air, at the latest
    seconds: float = 0.0
    pieces: list[_Piece] = field(default_factory=list)
    arrivals: deque[tuple[float, float]] = field(default_factory=deque)  # (when, seconds so far)

    def add(self, piece: _Piece, rate: int) -> None:
        now = piece.arrived
        self.began = now if self.began is None else self.began
        self.pieces.append(piece)
        self.seconds += (len(piece.samples) + piece.skip) / rate
        self.zero = min(self.zero, now - self.seconds)
        self.arrivals.append((now, self.seconds))

    def is_over(self, now: float, settle_s: float) -> bool:
        """Return whether audio arrives in real time by now, or the burst takes too long."""
        if self.began is None or now - self.began < settle_s:
            return False
        while len(self.arrivals) > 1 and self.arrivals[1][0] <= now - settle_s:
            self.arrivals.popleft()
        at, seconds = self.arrivals[0]
        before = seconds if at <= now - settle_s else 0.0
        return self.seconds - before <= _PACE * settle_s or now - self.began > _MAX_GATHER_S


def _longest_run(pieces: list[_Piece]) -> tuple[NDArray[np.float32], int]:
    """Return the longest stretch without damage, and the samples before it."""
    runs: list[tuple[int, int, list[NDArray[np.float32]]]] = []  # (length, before, samples)
    at = 0
    for piece in pieces:
        at += piece.skip
        if piece.skip or not runs:
            runs.append((0, at, []))
        length, before, samples = runs[-1]
        runs[-1] = length + len(piece.samples), before, [*samples, _mono(piece.samples)]
        at += len(piece.samples)
    _, before, samples = max(runs, key=lambda run: run[0])
    return np.concatenate(samples), before


class LiveClock:
    """The position and time of one live stream's audio.

    All times are seconds on one monotonic clock, given by the caller.

    Audio is returned in order, without repetitions that can be recognised, and not before the
    estimated time at which it was on air. The estimate is early by at most a minute, if a server
    becomes later and later, and late by the server's own delay and by a burst that follows after
    the clock was set.

    Parameters
    ----------
    loss_s : float > 0
        If audio stays later than this after a stall, audio was lost. Must exceed the jitter of the
        server's pieces.
    settle_s : float > 0
        Seconds of real-time audio after which a burst is over.
    may_be_file : bool
        Whether the stream may be a file.

    Attributes
    ----------
    rate : int
        Samples per second; 0 before the first ones.
    is_file : bool
        Whether the first audio was far ahead of the clock, as of a file. All of it stays queued.
    """

    def __init__(
        self, *, loss_s: float = 1.0, settle_s: float = SETTLE_S, may_be_file: bool = False
    ) -> None:
        self.rate = 0
        self.is_file = False
        self._loss_s = loss_s
        self._settle_s = settle_s
        self._may_be_file = may_be_file
        self._ready: deque[PositionedAudio] = deque()
        self._end = 0  # sample after the last one with a position
        self._cursor = 0  # position of the next sample that arrives
        self._floor = 0.0  # upper bound of the time of sample 0
        self._zero: float | None = None  # the published value of it, which changes slowly
        self._late: deque[tuple[float, float]] = (
            deque()
        )  # how late the last audio arrived, and when
        self._arrived = 0.0
        self._gather: _Gather | None = None
        self._reason = "missing"
        self._tail: deque[NDArray[np.float32]] = deque()
        self._tail_n = 0

    @property
    def started(self) -> bool:
        """Whether any audio has its position."""
        return self._zero is not None

    @property
    def ready_s(self) -> float:
        """Seconds of audio with a position, whether its time has come or not."""
        return sum(placed.seconds for placed in self._ready)

    def connect(self) -> None:
        """Begin a connection: the next audio may be a repetition, or follow a loss."""
        self._gather = _Gather("reconnect")

    def push(
        self,
        samples: NDArray[np.float32],
        rate: int,
        now: float,
        *,
        skip: int = 0,
        reason: str = "missing",
    ) -> None:
        """Add audio that has just arrived.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,) or (n, channels), float32]
            The audio; it follows the last one after `skip` samples.
        rate : int > 0
            Samples per second; it may change only after `connect`.
        now : float
            Time of arrival.
        skip : int >= 0
            Samples before it that did not decode.
        reason : str
            Why.
        """
        self._set_rate(rate)
        piece = _Piece(samples, now, skip, reason)
        length_s = (len(samples) + skip) / rate
        if self._gather is None and now - self._arrived - length_s > _STALL_S:
            self._gather = _Gather("stall", min(late for _, late in self._late))
        self._arrived = now
        if self._gather is not None:
            self._gather.add(piece, rate)
            self._settle(now)
            return
        late_s = now - (self._cursor + len(samples)) / rate - self._floor
        if late_s > _MAX_LATE_S:
            self._break(self._cursor + round(late_s * rate), "stall")
        self._follow(piece, drift=True)

    def finish(self) -> None:
        """End a connection, and give the gathered audio its position."""
        gather, self._gather = self._gather, None
        if gather is not None and gather.pieces:
            self._place(gather, is_over=gather.reason != "stall")

    def take(self, now: float) -> list[PositionedAudio]:
        """Return the audio that has a position and whose time has come."""
        self._settle(now)
        taken = []
        while self._ready and self._ready[0].time + self._ready[0].seconds <= now + 1e-6:
            taken.append(self._ready.popleft())
        return taken

    def give_up(self) -> list[PositionedAudio]:
        """Return all audio of a file, positioned by its count alone."""
        gather, self._gather = self._gather, None
        for piece in gather.pieces if gather is not None else ():
            self._cursor += piece.skip
            self._reason = piece.reason
            self._emit(piece.samples)
        taken, self._ready = list(self._ready), deque()
        return taken

    def _set_rate(self, rate: int) -> None:
        if self.rate and rate != self.rate:
            self._end = -(-self._end * rate // self.rate)
            self._cursor = max(rescale(self._cursor, self.rate, rate), self._end)
            self._clear_tail()
        self.rate = rate

    def _settle(self, now: float) -> None:
        """Give the gathered audio its position, if that is known."""
        gather = self._gather
        if gather is None or not gather.pieces:
            return
        ahead_s = gather.seconds - (now - (gather.began or now))
        if ahead_s > AHEAD_S and self._may_be_file and not self.started:
            self.is_file = True
            return
        if gather.reason == "stall":
            late_s = gather.pieces[-1].arrived - gather.seconds - self._air_s()
            if late_s - gather.late_s < self._loss_s:  # all of it was delivered
                self._gather = None
                self._place(gather, is_over=False)
                return
        if gather.is_over(now, self._settle_s) or ahead_s > AHEAD_S:
            self._gather = None
            self._place(gather, is_over=True)

    def _air_s(self) -> float:
        """Return the time of the next sample that arrives."""
        return self._floor + self._cursor / self.rate

    def _place(self, gather: _Gather, *, is_over: bool) -> None:
        """Give gathered audio its position; `is_over` if its burst is known to have ended."""
        if self._zero is None:
            self._zero = self._floor = gather.zero - self._cursor / self.rate
        elif gather.reason == "stall":
            lost_s = gather.zero - self._air_s() - gather.late_s
            if is_over and lost_s >= self._loss_s:
                self._lose(gather, round(lost_s * self.rate))
        else:
            self._join(gather)
        self._floor = min(self._floor, gather.zero - self._cursor / self.rate)
        for piece in gather.pieces:
            self._follow(piece, drift=False)  # a burst is late, and shows no drift

    def _lose(self, gather: _Gather, lost: int) -> None:
        """Leave a gap in the gathered audio: at a frame that was cut in two, or before it."""
        cut = next((i for i, piece in enumerate(gather.pieces) if piece.skip), 0)
        if cut * len(gather.pieces[0].samples) > _CUT_S * self.rate:
            cut = 0
        for piece in gather.pieces[:cut]:
            self._emit(piece.samples)
            gather.zero += len(piece.samples) / self.rate
        self._break(self._cursor + lost, gather.reason)
        gather.pieces[:] = [gather.pieces[cut]._replace(skip=0), *gather.pieces[cut + 1 :]]

    def _join(self, gather: _Gather) -> None:
        """Position a new connection's audio, by the audio itself or by the clock."""
        expected = round((gather.zero - self._floor) * self.rate)
        run, before = _longest_run(gather.pieces)
        if len(run) and self._tail:
            tail = np.concatenate(self._tail)
            begin = self._end - len(tail)
            found = find_overlap(tail, run, self.rate, expected + before - begin)
            if found is not None:
                self._cursor = begin + found - before
                return
        min_start = self._end + max(round(_MIN_GAP_S * self.rate), 1)
        self._break(max(expected, min_start), gather.reason)
        self._cursor = min(expected, self._end)

    def _break(self, start: int, reason: str) -> None:
        """Continue at `start`, after a gap, with the best known time."""
        self._end = self._cursor = max(start, self._end + 1)
        self._zero = self._floor
        self._reason = reason
        self._clear_tail()

    def _follow(self, piece: _Piece, *, drift: bool) -> None:
        """Give audio the next position, and update the time."""
        n = len(piece.samples)
        if piece.skip:
            # Audio that did not decode needed time to arrive; a longer `skip` is not accepted.
            late_s = piece.arrived - self._air_s() - n / self.rate
            self._cursor += min(piece.skip, max(round(late_s * self.rate), 1))
            if self._cursor > self._end:
                self._break(self._cursor, piece.reason)
        late_s = piece.arrived - self._air_s() - n / self.rate
        if drift:
            self._floor = slewed(self._floor, self._floor + late_s, n / self.rate)
        self._floor = min(self._floor, piece.arrived - (self._cursor + n) / self.rate)
        assert self._zero is not None
        small = abs(self._floor - self._zero) <= _SMALL_S
        self._zero = self._floor if small else slewed(self._zero, self._floor, n / self.rate)
        self._late.append((piece.arrived, max(late_s, 0.0)))
        while self._late[0][0] < piece.arrived - _LATELY_S:
            self._late.popleft()
        self._emit(piece.samples)

    def _emit(self, samples: NDArray[np.float32]) -> None:
        """Queue the new part of some audio."""
        start = self._cursor
        self._cursor += len(samples)
        known = self._end - start
        if known >= len(samples):
            return
        if known > 0:
            samples, start = samples[known:], self._end
        if start > self._end:
            self._clear_tail()
        time = (self._zero or 0.0) + start / self.rate
        self._ready.append(PositionedAudio(start, samples, self.rate, time, self._reason))
        self._reason = "missing"
        self._end = start + len(samples)
        self._tail.append(_mono(samples))
        self._tail_n += len(samples)
        while self._tail_n - len(self._tail[0]) >= _TAIL_S * self.rate:
            self._tail_n -= len(self._tail.popleft())

    def _clear_tail(self) -> None:
        self._tail.clear()
        self._tail_n = 0


def _mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return audio in which repetitions are searched: one channel takes less memory and time."""
    return samples if samples.ndim == 1 else mean(samples)
