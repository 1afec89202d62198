"""Alarms open and close once, whatever happens: audio, clocks, lists, restarts in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alarms.rules import AlarmPlan
from stream.alarms.settings import AlarmSettings
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Alarm, Decision, Event, Level
from stream.stages.alarms import WatchAlarms
from stream.stages.levels import SecondLevel
from stream.stations.entry import StationEntry
from stream.testing import ManualClock

if TYPE_CHECKING:
    from stream.session import Item

RATE = 16_000
STATIONS = "ab"
# An hour before clocks in Berlin are put back, and before they are put forward.
BEGINS = (1_792_886_400.0, 1_774_742_400.0)
QUICK = {
    "dead_air": {"delay_s": 2.0, "clear_s": 2.0, "escalate_s": 3.0},
    "frozen": {"delay_s": 0.0, "clear_s": 0.0},
    "no_programme": {"delay_s": 3.0, "clear_s": 1.0},
    "unknown": {"delay_s": 1.0, "clear_s": 1.0},
    "gone": {"delay_s": 3.0, "escalate_s": 4.0},
    "missing": {"delay_s": 2.0, "escalate_s": 2.0},
}


def plan_with(entries: Sequence[StationEntry] | None, rules: Sequence[str]) -> AlarmPlan:
    known = AlarmSettings.default().rules.model_dump()
    for name, values in known.items():
        values |= {"enabled": name in rules, **QUICK.get(name, {})}
    named = None if entries is None else {entry.name: entry for entry in entries}
    return AlarmPlan(AlarmSettings.default(rules=known), RATE, named)


HOURS = st.sampled_from(
    [[], ["02:00-03:00"], ["02:30-02:00"], ["22:00-06:00"], ["Sun 00:00-24:00"], ["03:00-03:01"]]
)
ENTRIES = st.builds(
    lambda name, hours, quiet: StationEntry(
        name=name, source="kafka", timezone="Europe/Berlin", hours=hours,
        alarms={"dead_air": {"quiet": quiet}},
    ),
    st.sampled_from(STATIONS), HOURS, HOURS,
)  # fmt: skip
PLANS = st.builds(
    plan_with,
    st.one_of(st.none(), st.lists(ENTRIES, max_size=2, unique_by=lambda entry: entry.name)),
    st.lists(st.sampled_from(sorted(QUICK)), unique=True, min_size=2),
)
STATION = st.sampled_from(STATIONS)
ACTIONS = st.one_of(
    st.tuples(st.just("sounds"), STATION, st.sampled_from([-90.0, -47.0, -20.0]), st.booleans()),
    st.tuples(st.just("sounds"), STATION, st.just(-90.0), st.just(True)),
    st.tuples(st.just("breaks"), STATION, st.integers(1, 5)),
    st.tuples(st.just("ends"), STATION, st.sampled_from(["sent", "idle"])),
    st.tuples(st.just("leaves"), STATION),
    st.tuples(st.just("waits"), st.integers(1, 12)),
    st.tuples(st.just("clock"), st.sampled_from([-3600.0, 2 * 86_400.0, 1800.0, -60.0])),
    st.tuples(st.just("plan"), PLANS),
    st.tuples(st.just("restarts")),
)


@dataclass
class World:
    """A stage, what surrounds it, and all that it has published."""

    plan: AlarmPlan
    wall: float
    clock: ManualClock = field(default_factory=lambda: ManualClock(1000.0))
    at: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATIONS, 10))
    published: list[Alarm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin = self.wall
        self.stage = self.started()

    def started(self) -> WatchAlarms:
        stage = WatchAlarms(lambda: self.plan, RATE, self.clock, lambda: self.wall)
        stage.time_of = lambda _, sample, rate: self.begin + sample / rate
        return stage

    def take(self, items: Sequence[Item | Event]) -> None:
        self.published += [item for item in items if isinstance(item, Alarm)]

    def push(self, *items: Item) -> None:
        self.take(self.stage.push(items))

    def sounds(self, station: str, level: float, is_frozen: bool) -> None:
        start, end = self.at[station] * RATE, (self.at[station] + 1) * RATE
        samples = np.zeros(RATE, np.float32)
        self.push(
            AudioChunk(station, start, samples, RATE),
            SecondLevel(
                station,
                Level(station, start, end, RATE, None, level, (level,), -1.0, None, None, None,
                      None, 0, 0.0, (), is_frozen),
            ),
            # It speaks for the second behind the middle of its window.
            Decision(station, start - 2 * RATE, start + 3 * RATE, RATE, None,
                     0.1 if is_frozen else 0.9, 0.1),
        )  # fmt: skip
        self.at[station] += 1
        self.waits(1)

    def breaks(self, station: str, seconds: int) -> None:
        if self.stage.sessions.get(station) is not None:
            at = self.at[station]
            end = at + seconds
            self.push(Discontinuity(station, at * RATE, end * RATE, RATE, "missing"))
            self.at[station] = end

    def ends(self, station: str, why: str) -> None:
        if self.stage.sessions.get(station) is not None:
            self.push(EndOfStream(station, self.at[station] * RATE, RATE, why))  # type: ignore[arg-type]

    def leaves(self, station: str) -> None:
        """Do as the runner does with a station that is lost."""
        if self.stage.sessions.get(station) is not None:
            self.take(self.stage.finish([station]))
            self.stage.sessions.pop(station)
            self.at[station] += 1  # it does not come back at the same sample

    def waits(self, seconds: int) -> None:
        for _ in range(seconds * 2):
            self.clock.now += 0.5
            self.wall += 0.5
            self.push()

    def restarts(self) -> None:
        parts = {
            station: part
            for station, session in self.stage.sessions.items()
            if (part := self.stage.snapshot(session)) is not None
        }
        self.stage = self.started()
        for station, part in parts.items():
            assert not part.check()
            self.stage.restore(self.stage.sessions[station], part)


@settings(deadline=None, max_examples=100)
@given(
    plan=PLANS, begin=st.sampled_from(BEGINS), actions=st.lists(ACTIONS, min_size=1, max_size=40)
)
def test_every_alarm_opens_once_and_closes_once(
    plan: AlarmPlan, begin: float, actions: list[tuple[object, ...]]
) -> None:
    world = World(plan, begin)
    for name, *values in actions:
        if name == "clock":
            world.wall += values[0]  # type: ignore[operator]
        elif name == "plan":
            world.plan = values[0]  # type: ignore[assignment]
        else:
            getattr(world, str(name))(*values)
    world.take(world.stage.finish(list(world.stage.sessions)))
    states: dict[str, list[str]] = defaultdict(list)
    open_ones: set[tuple[str, str]] = set()
    for each in world.published:
        where = each.station, each.rule
        state = "closed" if each.final else "escalated" if each.escalated else "open"
        states[each.id].append(state)
        assert each.end >= each.start
        assert (where in open_ones) == (state != "open"), where
        if state == "open":
            open_ones.add(where)
        elif state == "closed":
            open_ones.remove(where)
    assert not open_ones
    for name, found in states.items():
        assert found in (["open", "closed"], ["open", "escalated", "closed"]), name
    assert not world.stage.counts().total()
    assert not world.stage.open_alarms()
