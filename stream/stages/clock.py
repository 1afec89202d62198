"""The Unix time of a station's samples, and how far they drift from the station's clock."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Annotated

from pydantic import Field, Strict

from stream.audio import AudioChunk
from stream.events import Alarm, Event, Labelled, Match, Segment
from stream.ranges import Number, Sample, Text, is_time
from stream.session import Session, Sessions, Stage
from stream.stages.align import Aligned
from stream.timekeeping import slewed

log = logging.getLogger(__name__)

SPAN_S = 120  # seconds of audio between two looks; they lie on multiples of it
MAX_LOOKS = 16  # that the drift is measured over: half an hour
MIN_LOOKS = 6  # fewer give no drift
LOUD_PPM = 200.0  # crystals are better than that: a drift beyond is logged
_STEP_S = 0.01  # differences below this change no event's time
_SAME_S = 0.25  # after a gap, a time within this is no new one
_FAR_S = 1.0  # times that stay off by more than this mean that the station's clock was set
_MAX_KNOTS = 24
_EARLY_S = 1.0  # grids and resampling may date an event a little before its first chunk


@dataclass(slots=True)
class ClockState:
    """One station's clock, in seconds of audio and of Unix time."""

    base: Number  # Unix time of sample 0 when the clock was set; offsets are relative to it
    # (from this second of audio on, Unix time of sample 0)
    knots: Annotated[list[tuple[Number, Number]], Field(min_length=1, max_length=64)]
    # Audio up to here has been followed.
    followed: Annotated[float, Strict(), Field(ge=0, le=1e15, allow_inf_nan=False)]
    broke: Number | None = None  # where the audio broke off, until the next chunk with a time
    offset: Number = 0.0  # of sample 0, as followed so far
    far: Number = 0.0  # since the last look: audio whose time was far off,
    near: Number = 0.0  # audio whose time was not,
    far_offset: Number = 0.0  # and the offset that was far off
    # (number, offset) of the last looks
    looks: Annotated[list[tuple[Sample, Number]], Field(max_length=64)] = field(
        default_factory=list
    )
    drift_ppm: Number | None = None
    # Times of events that are not final, by id.
    open: Annotated[dict[Text, Number | None], Field(max_length=10_000)] = field(
        default_factory=dict
    )

    def copy(self) -> ClockState:
        """Return a state that can change on its own."""
        return replace(self, knots=[*self.knots], looks=[*self.looks], open={**self.open})


class Clock(Stage):
    """Date each station's samples in Unix time, as its source gives it.

    The first chunk with a time sets the clock. From then on it runs with the samples and slowly
    follows the times of later chunks, so that their jitter does not show and a station that drifts
    for months keeps the right time. It changes only where a look is due, on multiples of `SPAN_S`
    of audio, and for later events only: so every event has the same time however the audio was
    cut, and after a restart. An event that is published again, while it is open and once it is
    final, keeps the time it had. After a gap, or when the times of more than half of a span's
    audio are a second off, the clock is set anew.

    The drift is the slope of the offsets at the last looks (the median over all pairs), in parts
    per million: positive where a station sends more samples than its own clock says.
    """

    name = "clock"

    def __init__(self) -> None:
        self.sessions = Sessions()

    def push(self, items: Sequence[Aligned]) -> list[Aligned]:
        """Read the times of audio in order; return the items as they are."""
        for item in items:
            session = self.sessions[item.station]
            state = session.clock
            if not isinstance(item, AudioChunk):
                if state is not None and state.broke is None:
                    state.broke = item.start / item.rate
            elif item.time is not None and is_time(item.time):
                start = item.start / item.rate
                zero = item.time - start
                if state is None:
                    state = ClockState(zero, [(start - _EARLY_S, zero)], start)
                    session.clock = state
                elif state.broke is not None:
                    if abs(zero - state.base - state.offset) > _SAME_S:
                        # Not for the gap itself, nor for what was before it.
                        since = max(start - _EARLY_S, state.broke + 0.001)
                        _set(state, min(since, max(start, state.broke)), zero)
                    state.broke, state.followed = None, max(state.followed, start)
                _follow(item.station, state, item.end / item.rate, zero - state.base)
        return list(items)

    def time(self, station: str, sample: int, rate: int) -> float | None:
        """Return the Unix time of a sample; None where its source gives no possible one."""
        state = self.sessions[station].clock
        at = sample / rate
        for since, zero in reversed(state.knots if state else []):
            if at >= since:
                return zero + at if is_time(zero + at) else None
        return None

    def date(self, event: Event) -> Event:
        """Return an event with its time: the one it had, if it was open before."""
        time = event.time  # of what has no samples
        if time is None:
            time = self.time(event.station, event.start, event.rate)
        state = self.sessions[event.station].clock
        if state is not None and isinstance(event, Segment | Labelled | Match | Alarm):
            time = state.open.pop(event.id, time)
            if not event.final:
                state.open[event.id] = time
        return replace(event, time=time)

    def drifts_ppm(self) -> list[tuple[str, float]]:
        """Return how much faster each station's samples run than its clock, in order of name.

        Stations whose drift is not known yet are left out.
        """
        return [
            (station, session.clock.drift_ppm)
            for station, session in sorted(self.sessions.items())
            if session.clock is not None and session.clock.drift_ppm is not None
        ]

    def snapshot(self, session: Session) -> ClockState | None:
        return session.clock

    def restore(self, session: Session, part: ClockState) -> None:
        """Continue where `part` was the snapshot; repeated audio changes nothing."""
        session.clock = part.copy()


def _follow(station: str, state: ClockState, end: float, offset: float) -> None:
    """Move the offset towards a chunk's up to its `end`, and look where a look is due."""
    while state.followed < end:
        number = int(state.followed // SPAN_S) + 1
        upto = min(end, number * SPAN_S)
        length = upto - state.followed
        if abs(offset - state.offset) > _FAR_S:
            state.far += length
            state.far_offset = offset
        else:
            state.near += length
            state.offset = slewed(state.offset, offset, length)
        state.followed = upto
        if upto == number * SPAN_S:
            _look(station, state, number)


def _look(station: str, state: ClockState, number: int) -> None:
    """Take over what was followed since the last look, for events from here on."""
    at = number * SPAN_S
    if state.far > state.near:
        zero = state.base + state.far_offset
        where = {"station": station}
        log.warning("its clock was set by %+.1f s", state.far_offset - state.offset, extra=where)
        _set(state, at, zero)
        return
    state.far = state.near = 0.0
    zero = state.base + state.offset
    if abs(zero - state.knots[-1][1]) >= _STEP_S:
        _add(state, at, zero)
    state.looks.append((number, round(state.offset, 6)))
    del state.looks[:-MAX_LOOKS]
    before, state.drift_ppm = state.drift_ppm, _drift(state.looks)
    if abs(state.drift_ppm or 0.0) >= LOUD_PPM > abs(before or 0.0):
        log.warning("its samples drift by %+.0f ppm", state.drift_ppm, extra={"station": station})


def _drift(looks: Sequence[tuple[int, float]]) -> float | None:
    if len(looks) < MIN_LOOKS:
        return None
    slopes = [
        (b - a) / (later - earlier)
        for i, (earlier, a) in enumerate(looks)
        for later, b in looks[i + 1 :]
    ]
    return round(-median(slopes) / SPAN_S * 1e6, 1)


def _set(state: ClockState, since: float, zero: float) -> None:
    _add(state, since, zero)
    state.base, state.offset = zero, 0.0
    state.far = state.near = 0.0
    state.looks, state.drift_ppm = [], None


def _add(state: ClockState, since: float, zero: float) -> None:
    state.knots.append((since, round(zero, 6)))
    if len(state.knots) > _MAX_KNOTS:
        since, _ = state.knots.pop(0)
        state.knots[0] = since, state.knots[0][1]
