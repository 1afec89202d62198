"""What time it was at a station's sample, and how far its samples drift from its clock."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from stream.audio import AudioChunk, Cut
from stream.events import Event
from stream.ranges import is_time
from stream.timekeeping import slewed

log = logging.getLogger(__name__)

SPAN_S = 120  # seconds of audio between two looks; they lie on multiples of it
KEPT = 16  # looks that the drift is measured over: half an hour
LEAST = 6  # looks without which no drift is told
LOUD_PPM = 200.0  # crystals are better than that: a drift beyond is logged
_STEP_S = 0.01  # differences below this change no event's time
_SAME_S = 0.25  # after a gap, a time within this is no new one
_FAR_S = 1.0  # times that stay off by more than this mean that the station's clock was set
_KNOTS = 24
_EARLY_S = 1.0  # grids and resampling may date an event a little before its first chunk


@dataclass(slots=True)
class _Station:
    """One station's clock; plain enough for JSON. All in seconds of audio and of Unix time."""

    base: float  # Unix time of sample 0 when the clock was set; the others are relative to it
    knots: list[tuple[float, float]]  # (from this second of audio on, Unix time of sample 0)
    broke: float | None = None  # where it broke off, until its next chunk with a time
    offset: float = 0.0  # of sample 0, from `base`, as followed so far
    heard: float = 0.0  # audio up to here has been followed
    far: float = 0.0  # since the last look: audio whose time was far off,
    near: float = 0.0  # audio whose time was not,
    said: float = 0.0  # and the offset that was far off
    looks: list[tuple[int, float]] = field(default_factory=list)  # (number, offset)
    drift_ppm: float | None = None
    open: dict[str, float | None] = field(default_factory=dict)  # times of events not final, by id


class Clock:
    """Keep the Unix time of each station's samples, as its source tells it.

    The first chunk with a time sets the clock. From then on it runs with the samples and
    follows what later chunks say slowly, so that their jitter does not show and a station that
    drifts for months keeps the right time. It changes only where a look is due, on multiples of
    `SPAN_S` of audio, and for later events only: so every event has the same time however the
    audio was cut, and after a restart. An event that is published again, while it is open and
    once it is final, keeps the time it had. After a gap, or when most of what a span's chunks
    say is a second off, the clock is set anew.

    The drift is the slope of the offsets at the last looks (the median over all pairs), in parts
    per million: positive where a station sends more samples than its own clock says.
    """

    def __init__(self) -> None:
        self._stations: dict[str, _Station] = {}

    def push(self, items: Sequence[AudioChunk | Cut]) -> None:
        """Hear audio and cuts, in order."""
        for item in items:
            state = self._stations.get(item.station)
            if isinstance(item, Cut):
                if state is not None and state.broke is None:
                    state.broke = item.start / item.rate
            elif item.time is not None and is_time(item.time):
                start = item.start / item.rate
                said = item.time - start
                if state is None:
                    state = _Station(said, [(start - _EARLY_S, said)], heard=start)
                    self._stations[item.station] = state
                elif state.broke is not None:
                    if abs(said - state.base - state.offset) > _SAME_S:
                        # Not for the gap itself, nor for what was before it.
                        since = max(start - _EARLY_S, state.broke + 0.001)
                        _set(state, min(since, max(start, state.broke)), said)
                    state.broke, state.heard = None, max(state.heard, start)
                self._follow(item.station, state, item.end / item.rate, said - state.base)

    def time(self, station: str, sample: int, rate: int) -> float | None:
        """Return the Unix time of a sample; None where the source knows none that can be."""
        state = self._stations.get(station)
        at = sample / rate
        for since, zero in reversed(state.knots if state else []):
            if at >= since:
                return zero + at if is_time(zero + at) else None
        return None

    def date(self, event: Event) -> Event:
        """Return an event with its time: the one it had, if it was open before."""
        time = self.time(event.station, event.start, event.rate)
        state = self._stations.get(event.station)
        if state is not None and hasattr(event, "final"):
            time = state.open.pop(event.id, time)
            if not event.final:
                state.open[event.id] = time
        return replace(event, time=time)

    def drift_ppm(self, station: str) -> float | None:
        """Return how much faster a station's samples run than its clock; None while unknown."""
        state = self._stations.get(station)
        return None if state is None else state.drift_ppm

    def drifts_ppm(self) -> list[tuple[str, float]]:
        """Return the drift of each station of which it is known, in order of name."""
        known = [(name, state.drift_ppm) for name, state in sorted(self._stations.items())]
        return [(name, ppm) for name, ppm in known if ppm is not None]

    def snapshot(self, station: str) -> dict[str, Any] | None:
        """Return what `restore` needs to go on as if nothing had happened, as JSON's types."""
        state = self._stations.get(station)
        return None if state is None else asdict(state)

    def restore(self, station: str, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken; audio heard again since then changes nothing."""
        values = dict(snapshot)
        for name in ("knots", "looks"):
            values[name] = [tuple(entry) for entry in values[name]]
        values["open"] = dict(values["open"])
        self._stations[station] = _Station(**values)

    def forget(self, station: str) -> None:
        """Drop what is known of a station."""
        self._stations.pop(station, None)

    def _follow(self, station: str, state: _Station, end: float, said: float) -> None:
        """Move the offset towards what is said up to `end`, and look where a look is due."""
        while state.heard < end:
            number = int(state.heard // SPAN_S) + 1
            upto = min(end, number * SPAN_S)
            length, off = upto - state.heard, said - state.offset
            if abs(off) > _FAR_S:
                state.far += length
                state.said = said
            else:
                state.near += length
                state.offset = slewed(state.offset, said, length)
            state.heard = upto
            if upto == number * SPAN_S:
                _look(station, state, number)


def _look(station: str, state: _Station, number: int) -> None:
    """Take over what was followed since the last look, for events from here on."""
    at = number * SPAN_S
    if state.far > state.near:
        zero = state.base + state.said
        place = {"station": station}
        log.warning("its clock was set by %+.1f s", state.said - state.offset, extra=place)
        _set(state, at, zero)
        return
    state.far = state.near = 0.0
    zero = state.base + state.offset
    if abs(zero - state.knots[-1][1]) >= _STEP_S:
        _add(state, at, zero)
    state.looks.append((number, round(state.offset, 6)))
    del state.looks[:-KEPT]
    before, state.drift_ppm = state.drift_ppm, _drift(state.looks)
    if abs(state.drift_ppm or 0.0) >= LOUD_PPM > abs(before or 0.0):
        log.warning("its samples drift by %+.0f ppm", state.drift_ppm, extra={"station": station})


def _drift(looks: Sequence[tuple[int, float]]) -> float | None:
    if len(looks) < LEAST:
        return None
    slopes = [
        (b - a) / (later - earlier)
        for i, (earlier, a) in enumerate(looks)
        for later, b in looks[i + 1 :]
    ]
    return round(-median(slopes) / SPAN_S * 1e6, 1)


def _set(state: _Station, since: float, zero: float) -> None:
    _add(state, since, zero)
    state.base, state.offset = zero, 0.0
    state.far = state.near = 0.0
    state.looks, state.drift_ppm = [], None


def _add(state: _Station, since: float, zero: float) -> None:
    state.knots.append((since, round(zero, 6)))
    if len(state.knots) > _KNOTS:
        since, _ = state.knots.pop(0)
        state.knots[0] = since, state.knots[0][1]
