"""Alarms of every station: the last stage.

It compares what the other stages find with the rules of the station
(`stream.alarms.rules`), and publishes an `Alarm` where the state machine of a rule
(`stream.alarms.machine`) opens or closes one.

Each rule looks at one series only, of which the order is the same however audio is cut: the level
of each second, the decisions, or titles and songs. What has no samples is looked at by the clock of
the machine: for how long a station has sent nothing. Such an alarm begins with the sample that is
missing, so it has the same id after a restart.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stream.alarms.hours import zone_of
from stream.alarms.machine import Limits, Move, Observation, Watch, end, observe
from stream.alarms.rules import DECISION_VALUES, KINDS, LEVEL_VALUES, AlarmPlan, Rule, StationRules
from stream.alarms.text import describe
from stream.alarms.titles import Comparison, Titles
from stream.audio import AudioChunk, Discontinuity, EndOfStream, rescale
from stream.events import Alarm, Decision, Level, Match
from stream.ranges import Flag, Text
from stream.session import Session, Sessions, Stage
from stream.stages.levels import SecondLevel

if TYPE_CHECKING:
    from stream.session import Item
    from stream.sources.base import SourceStatus

LOOK_S = 0.5  # between two looks for stations that send nothing
# An iteration of the loop counts for at most so much of it: a loop that waits receives nothing.
_MAX_ITERATION_S = 2.0
_BY_CLOCK = ("gone", "missing")


@dataclass(slots=True)
class AlarmsPart:
    """What is remembered of a station: a part of its snapshot.

    Parameters
    ----------
    watches : dict of str to Watch
        The rules whose condition is there, by kind.
    titles : Titles
        Titles and songs of late.
    ended : bool
        Whether its stream was ended by its sender, so that its silence is right.
    """

    watches: Annotated[dict[Text, Watch], Field(max_length=len(KINDS))] = field(
        default_factory=dict
    )
    titles: Titles = field(default_factory=Titles)
    ended: Flag = False

    def copy(self) -> AlarmsPart:
        """Return one that can change on its own."""
        return AlarmsPart({**self.watches}, self.titles.copy(), self.ended)

    def check(self) -> str:
        """Return why a station cannot have it, or ""."""
        if not KINDS.keys() >= self.watches.keys():
            return "alarms has one of an unknown kind"
        for watch in self.watches.values():
            if not watch.since <= min(watch.absent or watch.since, watch.opened or watch.since):
                return "alarms has one that ends before it begins"
            if watch.escalated and watch.opened is None:
                return "alarms has one that escalated before it opened"
        since = [sample for sample, _ in self.titles.titles]
        return "" if since == sorted(since) else "titles are not in order"


@dataclass(slots=True)
class AlarmsState:
    """A station's part, and what a restart begins anew."""

    part: AlarmsPart = field(default_factory=AlarmsPart)
    end: int = 0  # of its audio
    heard_at: float | None = None  # since when it is silent, by the running time; None: it may be
    missed_at: tuple[float, float] | None = None  # the same of one never heard, and the Unix time
    opened_at: float | None = None  # when its alarm of the clock opened, by the running time


class WatchAlarms(Stage):
    """Open and close the alarms of all stations.

    Parameters
    ----------
    plan_of : callable
        Returns the rules that hold now; another object where they have changed.
    rate : int > 0
        The model's samples per second.
    now, wall : callable
        A monotonic clock and Unix time, in seconds.

    Attributes
    ----------
    time_of : callable
        Returns the Unix time of a station's sample, or None; the pipeline sets it.
    source : SourceStatus, optional
        Where the audio comes from: while it has an error, silence is its own and not the stations',
        and only one that receives all stations can miss one.
    """

    name = "alarms"

    def __init__(
        self,
        plan_of: Callable[[], AlarmPlan],
        rate: int,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.sessions = Sessions()
        self.rate = rate
        self.time_of: Callable[[str, int, int], float | None] = lambda *_: None
        self.source: SourceStatus | None = None
        self._plan_of, self._plan = plan_of, plan_of()
        self._now, self._wall = now, wall
        self._last, self._running_s, self._next_look = now(), 0.0, 0.0
        self._restored: list[str] = []

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the alarms that open or close behind each."""
        self._run_clock()
        out: list[Item] = []
        before, self._plan = self._plan, self._plan_of()
        if before is not self._plan:
            out += self._withdraw(list(self.sessions), before)
        elif self._restored:
            out += self._withdraw(self._restored, before)
        self._restored = []
        for item in items:
            out.append(item)
            out += self._see(item)
        if self._running_s >= self._next_look:
            self._next_look = self._running_s + LOOK_S
            out += self._look()
        return out

    def finish(self, stations: Iterable[str]) -> list[Alarm]:
        """Close all alarms of some stations: the run ends, and nothing goes on with them."""
        out: list[Alarm] = []
        for station in stations:
            state = self.sessions[station].alarms
            if state is not None:
                out += self._end_all(station, state, state.end, "ended")
        return out

    def may_keep(self, station: str) -> bool:
        """Return whether audio around a station's alarms may be kept."""
        return self._plan.of(station).may_keep

    def open_alarms(self) -> list[Alarm]:
        """Return the alarms that are open, as they opened, and without their time."""
        out: list[Alarm] = []
        for station, session in self.sessions.items():
            for kind, watch in session.alarms.part.watches.items() if session.alarms else ():
                rule = self._plan.of(station).by_kind.get(kind)
                if watch.opened is not None and rule is not None:
                    out.append(self._alarm(station, rule, watch, watch.opened))
        return out

    def counts(self) -> Counter[str]:
        """Return how many alarms are open, by kind."""
        return Counter(
            kind
            for session in self.sessions.values()
            if session.alarms is not None
            for kind, watch in session.alarms.part.watches.items()
            if watch.opened is not None
        )

    def snapshot(self, session: Session) -> AlarmsPart | None:
        if session.alarms is None:
            return None
        part = session.alarms.part
        return part if part.watches or part.ended or not part.titles.is_empty else None

    def restore(self, session: Session, part: AlarmsPart) -> None:
        """Continue where `part` was the snapshot; the time without audio counts from now.

        A station that was gone already has been so since the time of its last sample, if its source
        knows it, and at least for the delay of the rule.
        """
        heard_at = self._running_s
        gone = part.watches.get("gone")
        if gone is not None and gone.opened is not None:
            rule = self._plan.of(session.station).by_kind.get("gone")
            time_of_last = self.time_of(session.station, gone.since, self.rate)
            heard_at -= max(
                rule.limits.delay / self.rate if rule else 0.0,
                self._wall() - time_of_last if time_of_last is not None else 0.0,
            )
        session.alarms = AlarmsState(part.copy(), heard_at=heard_at)
        self._restored.append(session.station)

    # What is seen

    def _see(self, item: Item) -> Iterator[Alarm]:
        session = self.sessions[item.station]
        state = session.alarms = session.alarms or AlarmsState()
        rules = self._plan.of(item.station)
        match item:
            case AudioChunk():
                yield from self._heard(item, state)
            case SecondLevel(station, level):
                for rule in rules.level:
                    value = LEVEL_VALUES[rule.kind.name](level)
                    yield from self._observe(station, state, rule, level, value)
                if "wrong_title" in rules.by_kind:
                    found = state.part.titles.add_title(level)
                    yield from self._compare(station, state, rules, found)
            case Decision(final=True):
                yield from self._decided(item, state, rules)
            case Match() if "wrong_title" in rules.by_kind:
                found = state.part.titles.add_song(item)
                yield from self._compare(item.station, state, rules, found)
            case Discontinuity(station, start, gap_end):
                yield from self._compare(station, state, rules, state.part.titles.finish(start))
                for rule in self._watched(state, rules):
                    seen = Observation(start, gap_end, present=False)
                    yield from self._move(station, state, rule, seen)
            case EndOfStream(station, start) if item.ends is not None:
                yield from self._compare(station, state, rules, state.part.titles.finish(start))
                state.end = max(state.end, start)
                is_over = item.ends == "sent" and not rules.is_expected
                kept = () if is_over else _BY_CLOCK
                yield from self._end_all(station, state, start, "ended", kept)
                state.part.titles = Titles()
                state.part.ended = item.ends == "sent"

    def _decided(
        self, decision: Decision, state: AlarmsState, rules: StationRules
    ) -> Iterator[Alarm]:
        """Compare a decision, which speaks for the second behind the middle of its window."""
        start = (decision.start + decision.end) // 2
        at = replace(decision, start=start, end=min(start + self.rate, decision.end))
        for rule in rules.decision:
            value = DECISION_VALUES[rule.kind.name](decision)
            yield from self._observe(decision.station, state, rule, at, value)
        if "unknown" in rules.by_kind:
            value = float(not rules.is_listed)
            yield from self._observe(decision.station, state, rules.by_kind["unknown"], at, value)

    def _compare(
        self, station: str, state: AlarmsState, rules: StationRules, found: Sequence[Comparison]
    ) -> Iterator[Alarm]:
        if (rule := rules.by_kind.get("wrong_title")) is None:
            return
        for each in found:
            if each.before < each.start:  # nothing was heard there
                nothing = Observation(each.before, each.start, present=False)
                yield from self._move(station, state, rule, nothing)
            present = False if each.value is None else rule.is_present(each.value)
            active = rule.is_active(self.time_of(station, each.start, self.rate))
            seen = Observation(each.start, each.end, present, active, each.value)
            yield from self._move(station, state, rule, seen)

    def _observe(
        self,
        station: str,
        state: AlarmsState,
        rule: Rule,
        at: Level | Decision,
        value: float | None,
    ) -> Iterator[Alarm]:
        present = rule.is_present(value)
        if not present and rule.kind.name not in state.part.watches:
            return
        active = rule.is_active(self.time_of(station, at.start, self.rate))
        seen = Observation(at.start, at.end, present, active, value)
        yield from self._move(station, state, rule, seen)

    def _move(
        self, station: str, state: AlarmsState, rule: Rule, seen: Observation
    ) -> Iterator[Alarm]:
        move = observe(state.part.watches.get(rule.kind.name), rule.limits, seen)
        yield from self._take(station, state, rule, move, seen.end)

    def _take(
        self,
        station: str,
        state: AlarmsState,
        rule: Rule,
        move: Move,
        at: int,
        reason: str = "",
        silent_s: float = 0.0,
    ) -> Iterator[Alarm]:
        """Take over the next state of a rule; give the alarm that follows, if one does."""
        watches, kind = state.part.watches, rule.kind.name
        if move.watch is None:
            watches.pop(kind, None)
        else:
            watches[kind] = move.watch
        if move.of is not None:
            is_over = move.step == "closed"
            said = reason or "over" if is_over else ""
            yield self._alarm(station, rule, move.of, at, said, silent_s, final=is_over)

    def _watched(self, state: AlarmsState, rules: StationRules) -> list[Rule]:
        """Return the rules of audio whose condition is there."""
        watched = [kind for kind in state.part.watches if kind not in _BY_CLOCK]
        return [rules.by_kind[kind] for kind in watched if kind in rules.by_kind]

    # What has no samples

    def _run_clock(self) -> None:
        before, self._last = self._last, self._now()
        if self.source is None or not self.source.broker_error:
            self._running_s += min(max(self._last - before, 0.0), _MAX_ITERATION_S)

    def _heard(self, chunk: AudioChunk, state: AlarmsState) -> Iterator[Alarm]:
        """Note that there is audio, and close the alarms that there was none."""
        is_new = chunk.end > state.end
        state.end = max(state.end, chunk.end)
        state.part.ended = state.part.ended and not is_new
        for kind in _BY_CLOCK:
            watch = state.part.watches.get(kind)
            if watch is None or not is_new:
                continue
            at = round(self._wall() * self.rate)
            if kind == "gone":
                if chunk.end <= watch.since:  # a restart repeats it
                    continue
                at = chunk.start
            yield from self._close(chunk.station, state, kind, at, "over")
        state.heard_at, state.missed_at = self._running_s, None

    def _look(self) -> Iterator[Alarm]:
        """Open alarms of stations that have sent nothing for too long."""
        can_miss = self.source is None or self.source.hears_all
        for station in self._plan.expected if can_miss else ():
            session = self.sessions[station]
            session.alarms = session.alarms or AlarmsState()
        for station, session in self.sessions.items():
            rules = self._plan.of(station)
            if session.align is not None:  # it was heard, perhaps before a restart
                session.alarms = session.alarms or AlarmsState()
                if session.alarms.heard_at is None:
                    session.alarms.heard_at = self._running_s
            state = session.alarms
            if state is None:
                continue
            if state.heard_at is not None:
                is_over = state.part.ended and not rules.is_expected
                if not is_over and (rule := rules.by_kind.get("gone")) is not None:
                    yield from self._look_at(session, state, rule)
            elif can_miss and rules.is_expected and "missing" in rules.by_kind:
                yield from self._look_at(session, state, rules.by_kind["missing"])

    def _look_at(self, session: Session, state: AlarmsState, rule: Rule) -> Iterator[Alarm]:
        kind, now, wall = rule.kind.name, self._running_s, self._wall()
        watch, active = state.part.watches.get(kind), rule.is_active(wall)
        if kind == "missing" and state.missed_at is None:
            state.missed_at = now, wall
        since_s = state.heard_at if kind == "gone" else (state.missed_at or (now, wall))[0]
        assert since_s is not None
        if watch is not None:
            state.opened_at = now if state.opened_at is None else state.opened_at
            is_due = 0 < rule.limits.escalate <= (now - state.opened_at) * self.rate
            if is_due and active and not watch.escalated:
                watch = replace(watch, escalated=True)
                move = Move(watch, "escalated", watch)
                yield from self._take(session.station, state, rule, move, watch.since)
            return
        if not active:  # the delay counts from the begin of its hours
            if kind == "gone":
                state.heard_at = now
            else:
                state.missed_at = None
            return
        if (now - since_s) * self.rate < rule.limits.delay:
            return
        if kind == "gone":
            since = max(state.end, self._position(session))
        else:
            since = round((state.missed_at or (now, wall))[1] * self.rate)
        state.opened_at = now
        watch = Watch(since, opened=since)
        move = Move(watch, "opened", watch)
        yield from self._take(session.station, state, rule, move, since)

    def _position(self, session: Session) -> int:
        """Return the sample with which a station's audio would go on."""
        align = session.align
        if align is None:
            return 0
        return max(rescale(align.next, align.rate, self.rate), align.known)

    # The end

    def _withdraw(self, stations: Sequence[str], before: AlarmPlan) -> Iterator[Alarm]:
        """Close the alarms whose rule, or whose station, was removed since the plan before."""
        for station in stations:
            session = self.sessions.get(station)
            if session is None or session.alarms is None:
                continue
            state, rules = session.alarms, self._plan.of(station)
            held = {*rules.by_kind} - ({"unknown"} if rules.is_listed else set())
            if not rules.is_expected:
                held.discard("missing")
                if before.of(station).is_expected:  # until it is heard again
                    held.discard("gone")
                    state.part.ended, state.missed_at = True, None
            for kind in [kind for kind in state.part.watches if kind not in held]:
                yield from self._close(station, state, kind, state.end, "withdrawn")

    def _end_all(
        self,
        station: str,
        state: AlarmsState,
        at: int,
        reason: str,
        kept: Sequence[str] = (),
    ) -> Iterator[Alarm]:
        for kind in [kind for kind in state.part.watches if kind not in kept]:
            yield from self._close(station, state, kind, at, reason)

    def _close(
        self, station: str, state: AlarmsState, kind: str, at: int, reason: str
    ) -> Iterator[Alarm]:
        """Close one alarm, or forget a condition that was none yet."""
        rule = self._plan.of(station).by_kind.get(kind) or _without_rule(kind)
        watch, silent_s = state.part.watches[kind], 0.0
        if kind in _BY_CLOCK:
            state.opened_at = None
        if kind == "missing":  # it has no samples: it lasts until now
            at = max(at, round(self._wall() * self.rate))
        elif kind == "gone":
            silent_s = self._silent_s(state)
            if reason != "over":  # no sample ends it
                at = max(at, watch.since + round(silent_s * self.rate))
        yield from self._take(station, state, rule, end(watch, at), at, reason, silent_s)

    def _silent_s(self, state: AlarmsState) -> float:
        """Return for how long a station has sent nothing, by the running time.

        Samples do not tell: those of a source that knows no time go on where they ended.
        """
        return 0.0 if state.heard_at is None else self._running_s - state.heard_at

    def _alarm(
        self,
        station: str,
        rule: Rule,
        watch: Watch,
        at: int,
        reason: str = "",
        silent_s: float = 0.0,
        *,
        final: bool = False,
    ) -> Alarm:
        last = watch.absent if final and watch.absent is not None else at
        last = max(last, watch.since)
        length_s = (last - watch.since) / self.rate or silent_s
        if rule.kind.reads == "clock" and not final:
            is_long = rule.limits.escalate if watch.escalated else 0
            length_s = (rule.limits.delay + is_long) / self.rate
        is_missing = rule.kind.name == "missing"
        is_measured = rule.kind.unit != ""
        return Alarm(
            station=station,
            start=watch.since,
            end=last,
            rate=self.rate,
            time=watch.since / self.rate if is_missing else None,
            rule=rule.kind.name,
            final=final,
            severity="critical" if watch.escalated else rule.severity,
            escalated=watch.escalated,
            value=watch.value if is_measured else None,
            threshold=rule.threshold if is_measured else None,
            reason=reason,
            text=describe(rule, length_s, watch.value if is_measured else None),
            group=self._plan.of(station).group,
        )


def _without_rule(kind: str) -> Rule:
    """Return a rule for what is open of a kind that has none any more."""
    none = Limits(0, 0, 0)
    return Rule(KINDS[kind], "warning", none, 0.0, 0.0, zone_of("UTC"))
