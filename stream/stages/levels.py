"""Levels of the audio as it comes: a stage between `clock` and `mono`.

Audio is measured second by second, in all its channels and at its own rate; seconds lie on
multiples of their length. An event is due where the interval ends, which lies on multiples of its
length too. So neither the size of chunks nor a restart changes what is published::

    chunks     ├───────┤├─────┤├───────────┤├────────┤├──────┤├─────────
    seconds    ├────┼────┼────┼────┼────┼────┼────┼────┼────┼────┼────┼─
    events               └ airsift.level/1        └                   of 5 s each

Of the audio, a second and the 0.1 s before it are held; all else that is remembered is in the
snapshot: sums, the power of 3 s, and the histogram of the integrated loudness.

For alarms there is a `SecondLevel` of each second too; it passes the later stages, and is not
published.

A break ends the interval with what there is of it, and begins all anew. Where only the rate or the
number of channels changes, the interval and the integrated loudness go on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from stream.audio import AudioChunk, EndOfStream, rescale
from stream.events import Decision, Event, Level
from stream.levels.decibels import of_power
from stream.levels.faults import faults_of
from stream.levels.gated_loudness import BINS, Histogram, Loudness
from stream.levels.interval import DECIMALS, Interval
from stream.levels.meter import Meter
from stream.levels.repetition import Repetition
from stream.ranges import Sample
from stream.session import Session, Sessions, Stage
from stream.stages.align import Aligned

if TYPE_CHECKING:
    from stream.levels.meter import Second

# Seconds before the newest audio whose power may still be asked for: a window, and the delay of its
# decision, many times over.
_KEEP_S = 60
_NEAR_S = 0.02  # ends of windows and of seconds are rounded differently
_END = itemgetter(0)


@dataclass(frozen=True, slots=True)
class SecondLevel:
    """The level of one second, or of what there is of it; it is no event.

    Parameters
    ----------
    station : str
        The station it is of.
    level : Level
        What was measured, as of an interval of that length.
    """

    station: str
    level: Level


@dataclass(slots=True)
class Programme:
    """What is remembered of a station since its audio last broke off; a part of its snapshot.

    Parameters
    ----------
    done : int >= 0
        All audio before this sample, at the model's rate, is in the rest.
    interval : Interval
        What is not published yet.
    loudness : Loudness
        Of the last 3 s, and what the integrated loudness is made of.
    repetition : Repetition
        What the last seconds sounded like.
    """

    done: Sample
    interval: Interval
    loudness: Loudness = field(default_factory=Loudness)
    repetition: Repetition = field(default_factory=Repetition)

    def copy(self) -> Programme:
        """Return one that can change on its own."""
        return Programme(
            self.done, self.interval.copy(), self.loudness.copy(), self.repetition.copy()
        )

    def check(self, end: int) -> str:
        """Return why a station whose audio goes on at sample `end` cannot have it, or ""."""
        if not self.interval.start <= self.done <= end:
            return "levels lies after align"
        if not self.interval.is_possible:
            return "levels has sums of no audio"
        histogram = self.loudness.histogram
        if histogram.first + len(histogram.counts) > BINS:
            return "levels lies beyond its histogram"
        return ""


@dataclass(slots=True)
class LevelsState:
    """A station's meter, and what it has shown."""

    programme: Programme | None = None  # None where no audio has come since the last break
    meter: Meter | None = None
    kind: tuple[int, int] = (0, 0)  # channels and rate of the latest chunk
    begin: int = 0  # first sample of the audio since the last break, or since a restart
    # (end, start, mean square over the channels) of the last seconds, at the model's rate. They
    # outlast a break: the decisions before it are made when it passes the later stages.
    powers: list[tuple[int, int, float]] = field(default_factory=list)
    latest: tuple[Level, list[str]] | None = None  # the last event, and what it shows wrong


class Levels(Stage):
    """Measure the levels of every station.

    Parameters
    ----------
    rate : int > 0
        The model's samples per second, in which events count.
    interval_s : int > 0
        Seconds between two events of a station.
    integrated_s : int > 0
        The integrated loudness begins anew on multiples of these seconds, a multiple of
        `interval_s`.
    each_second : bool
        Whether there is a `SecondLevel` of each second.
    """

    name = "levels"

    def __init__(
        self,
        rate: int,
        interval_s: int = 5,
        integrated_s: int = 86_400,
        *,
        each_second: bool = False,
    ) -> None:
        self.sessions = Sessions()
        self.rate = rate
        self.interval_s = interval_s
        self.integrated_s = integrated_s
        self.each_second = each_second

    def push(self, items: Sequence[Aligned]) -> list[Aligned | Level | SecondLevel]:
        """Return `items`, with the levels that become known behind each; of a break, before it."""
        for station in dict.fromkeys(item.station for item in items):
            if (state := self.sessions[station].levels) is not None:
                self._forget(state)
        out: list[Aligned | Level | SecondLevel] = []
        for item in items:
            session = self.sessions[item.station]
            state = session.levels = session.levels or LevelsState()
            if isinstance(item, AudioChunk):
                out.append(item)
                out += self._process(state, item)
                continue
            out += self._end(state, item.station)
            if isinstance(item, EndOfStream):
                state.latest = None
            out.append(item)
        return out

    def with_level(self, event: Event) -> Event:
        """Return a decision with the level of its window, and other events as they are.

        The level is of the seconds that end in the window: they fill windows, because those begin
        and end on whole seconds, or where the audio does. Of an early decision they are what is
        complete.
        """
        state = self.sessions[event.station].levels
        if not isinstance(event, Decision) or state is None:
            return event
        near = round(_NEAR_S * self.rate)
        first = bisect_right(state.powers, event.start + near, key=_END)
        last = bisect_right(state.powers, event.end + near, key=_END)
        # Audio behind a gap may be so short that it ends as near.
        powers = [each for each in state.powers[first:last] if each[1] < event.end]
        length = sum(end - start for end, start, _ in powers)
        if not length:
            return event
        energy = sum((end - start) * power for end, start, power in powers)
        return replace(event, level_dbfs=round(of_power(energy / length), DECIMALS))

    def latest(self) -> list[tuple[Level, list[str]]]:
        """Return the last event of each station that has one, in order of name, with its faults."""
        return [
            session.levels.latest
            for _, session in sorted(self.sessions.items())
            if session.levels is not None and session.levels.latest is not None
        ]

    def snapshot(self, session: Session) -> Programme | None:
        return session.levels.programme if session.levels is not None else None

    def restore(self, session: Session, part: Programme) -> None:
        """Continue where `part` was the snapshot; audio before it is measured for decisions."""
        session.levels = LevelsState(part.copy())

    def oldest(self, session: Session, sample: int) -> int:
        """Return where to begin again so that all is the same to the last bit from `sample` on."""
        state = session.levels
        if state is None or state.meter is None or state.programme is None:
            return sample
        meter = state.meter
        # A sample earlier, because positions are rounded to another rate and back.
        needed = (meter.start - meter.history) * self.rate // meter.rate - 1
        # A window that begins within a second, as the first one may, has the level of all of it.
        needed = min(needed, sample // self.rate * self.rate)
        return min(sample, max(needed, state.begin))

    def _process(self, state: LevelsState, chunk: AudioChunk) -> Iterator[Level | SecondLevel]:
        samples = chunk.samples
        kind = 1 if samples.ndim == 1 else samples.shape[1], chunk.rate
        if state.meter is None:
            state.begin = chunk.start * self.rate // chunk.rate
        if kind != state.kind or state.meter is None or state.meter.end != chunk.start:
            if state.meter is not None:
                yield from self._measure(state, chunk.station, None)
            state.kind, state.meter = kind, Meter(*kind, chunk.start)
        if state.programme is None:
            start = rescale(chunk.start, chunk.rate, self.rate)
            state.programme = Programme(start, Interval(start))
        while len(samples):
            samples = samples[state.meter.take(samples) :]
            if state.meter.is_full:
                yield from self._measure(state, chunk.station, chunk.title)

    def _measure(
        self, state: LevelsState, station: str, title: str | None
    ) -> Iterator[Level | SecondLevel]:
        """Measure what the meter holds; give the event that ends with it."""
        meter, programme = state.meter, state.programme
        assert meter is not None
        assert programme is not None
        if meter.start == meter.end:
            return
        second = meter.measure(programme.interval.peak)
        end = second.start + second.n
        of_model = rescale(end, meter.rate, self.rate)
        start = rescale(second.start, meter.rate, self.rate)
        state.powers.append((of_model, start, sum(second.powers) / len(second.powers)))
        if of_model <= programme.done:  # a restart repeats it
            return
        momentary, frozen = self._add(programme, second, meter.rate)
        if self.each_second:
            one = Interval(start)
            one.add(second, meter.rate, momentary, frozen=frozen)
            level = one.event(station, of_model, self.rate, programme.loudness, title)
            yield SecondLevel(station, level)
        programme.done = of_model
        if end % (self.interval_s * meter.rate) == 0:
            yield self._event(state, programme, station, title)
            if end % (self.integrated_s * meter.rate) == 0:
                programme.loudness.histogram = Histogram()

    def _add(self, programme: Programme, second: Second, rate: int) -> tuple[float | None, bool]:
        """Add a second; return its greatest momentary loudness, and whether audio is frozen."""
        momentary = programme.loudness.push(second.weighted)
        frozen = programme.repetition.push(second.marks) if second.n == rate else False
        programme.interval.add(second, rate, momentary, frozen=frozen)
        return momentary, frozen

    def _event(
        self, state: LevelsState, programme: Programme, station: str, title: str | None
    ) -> Level:
        done = programme.done
        event = programme.interval.event(station, done, self.rate, programme.loudness, title)
        programme.interval = Interval(done)
        state.latest = event, faults_of(event.to_dict())
        return event

    def _end(self, state: LevelsState, station: str) -> Iterator[Level | SecondLevel]:
        """Publish what there is of the interval, and begin anew."""
        programme = state.programme
        if state.meter is not None:
            yield from self._measure(state, station, None)
        if programme is not None and programme.interval.seconds:
            yield self._event(state, programme, station, None)
        state.programme = state.meter = None
        state.kind = 0, 0

    def _forget(self, state: LevelsState) -> None:
        """Forget the powers that no decision can ask for any more."""
        powers = state.powers
        if powers and powers[0][0] < powers[-1][0] - _KEEP_S * self.rate:
            last = powers[-1][0] - _KEEP_S * self.rate
            del powers[: bisect_right(powers, last, key=_END)]
