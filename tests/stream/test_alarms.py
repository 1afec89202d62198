"""Alarms as a stage: what opens and closes them, restarts, and the pipeline as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alarms.rules import AlarmPlan
from stream.alarms.settings import AlarmSettings
from stream.alarms.text import duration
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Alarm, Decision, Level, Match
from stream.pipeline import Pipeline
from stream.runner import Runner, Stop
from stream.sources.base import Lost, SourceStatus
from stream.stages.alarms import WatchAlarms
from stream.stages.levels import Levels, SecondLevel
from stream.stations.entry import StationEntry
from stream.testing import ListSink, ManualClock, chunks_of, noise
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END
from tests.stream.restarts import through_json

if TYPE_CHECKING:
    from stream.session import Item

RATE = 16_000
MONDAY = 1_796_000_000.0 // 86_400 * 86_400  # some midnight, in UTC


def plan(entries: Sequence[StationEntry] | None = None, **rules: dict[str, Any]) -> AlarmPlan:
    """Return a plan with these rules alone; each is enabled."""
    known = AlarmSettings.default().rules.model_dump()
    for name, values in known.items():
        values |= {"enabled": name in rules, **rules.get(name, {})}
    named = None if entries is None else {entry.name: entry for entry in entries}
    return AlarmPlan(AlarmSettings.default(rules=known), RATE, named)


class Stage:
    """The stage with a clock of its own, and short ways to say what comes."""

    def __init__(self, plan: AlarmPlan) -> None:
        self.plan, self.clock = plan, ManualClock(1000.0)
        self.stage = WatchAlarms(
            lambda: self.plan, RATE, self.clock, lambda: MONDAY + self.clock.now - 1000
        )

    def push(self, *items: Item) -> list[tuple[str, str, float, float]]:
        """Return (rule, state, start, end) of the alarms that follow."""
        return told(self.stage.push(items))

    def wait(self, seconds: float) -> list[tuple[str, str, float, float]]:
        """Turn the loop without audio, five times a second."""
        out = []
        for _ in range(round(seconds * 5)):
            self.clock.now += 0.2
            out += self.push()
        return out


def told(items: Sequence[object]) -> list[tuple[str, str, float, float]]:
    return [
        (
            item.rule,
            item.reason if item.final else "escalated" if item.escalated else "open",
            round(item.start / RATE, 3),
            round(item.end / RATE, 3),
        )
        for item in items
        if isinstance(item, Alarm)
    ]


def second(at: int, level: float = -20.0, **more: Any) -> SecondLevel:
    base = Level(
        "a", at * RATE, (at + 1) * RATE, RATE, None, level, (level, level), -1.0, None, -20.0,
        None, 0.9, 0, 0.0, (), False,
    )  # fmt: skip
    return SecondLevel("a", replace(base, **more))


def decision(at: int, speech: float, music: float) -> Decision:
    """Return the decision that speaks for second `at` and a half."""
    return Decision("a", (at - 2) * RATE, (at + 3) * RATE, RATE, None, speech, music)


def audio(start: float, length: float = 1.0, station: str = "a") -> AudioChunk:
    samples = np.zeros(round(length * RATE), np.float32)
    return AudioChunk(station, round(start * RATE), samples, RATE)


def test_dead_air() -> None:
    stage = Stage(plan(dead_air={"delay_s": 3, "clear_s": 2}))
    found = []
    for at, level in enumerate([-20, -60, -60, -47, -60, -20, -60, -44, -44, -60]):
        found += stage.push(second(at, level))
    # -47 is beyond neither limit; one second of -20 is no interruption.
    assert found == [("dead_air", "open", 1, 4), ("dead_air", "over", 1, 7)]


def test_the_alarm_says_what_it_is() -> None:
    stage = Stage(
        plan([StationEntry(name="a", source="kafka", group="north")], dead_air={"delay_s": 3})
    )
    found = [e for at in range(4) for e in stage.stage.push([second(at, -61.25)])]
    [alarm] = [event for event in found if isinstance(event, Alarm)]
    assert alarm.to_dict() == {
        "schema": "airsift.alarm/1", "id": "a/alarm/0/dead_air", "station": "a",
        "start_sample": 0, "end_sample": 3 * RATE, "start_s": 0.0, "end_s": 3.0, "time": None,
        "rule": "dead_air", "final": False, "severity": "critical", "escalated": False,
        "value": -61.25, "threshold": -50.0, "reason": "",
        "text": "dead air for 3 s: -61.25 dBFS, the limit is -50", "group": "north",
    }  # fmt: skip


SEEN = {
    "too_loud": {"short_term_lufs": -5.0},
    "channel_lost": {"dead_channels": (2,)},
    "opposite_phase": {"correlation": -0.9},
    "frozen": {"frozen": True},
}
NOT_SEEN: dict[str, dict[str, Any]] = {
    "too_loud": {"short_term_lufs": None},
    "channel_lost": {"level_dbfs": -80.0},  # of silence no channel can be told
    "opposite_phase": {"correlation": None},
    "frozen": {},
}


@pytest.mark.parametrize("rule", SEEN)
def test_what_a_level_shows(rule: str) -> None:
    stage = Stage(plan(**{rule: {"delay_s": 2, "clear_s": 1}}))
    assert stage.push(second(0), second(1, **SEEN[rule])) == []
    assert stage.push(second(2, **SEEN[rule])) == [(rule, "open", 1, 3)]
    holds = second(3, **NOT_SEEN[rule])
    assert (stage.push(holds) == []) == (rule != "frozen")
    assert stage.push(second(4)) == ([] if rule == "frozen" else [(rule, "over", 1, 4)])


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        ("no_programme", (0.1, 0.2), (0.1, 0.9)),
        ("speech_long", (0.9, 0.9), (0.1, 0.9)),
        ("music_long", (0.1, 0.9), (0.9, 0.1)),
        ("speech_missing", (0.1, 0.9), (0.9, 0.9)),
        ("music_missing", (0.9, 0.1), (0.9, 0.9)),
    ],
)
def test_what_decisions_show(
    rule: str, wrong: tuple[float, float], right: tuple[float, float]
) -> None:
    stage = Stage(plan(**{rule: {"delay_s": 10, "clear_s": 3}}))
    found = []
    for at in range(30):
        found += stage.push(decision(at, *(wrong if 5 <= at < 20 and at != 9 else right)))
    assert found == [(rule, "open", 5.5, 15.5), (rule, "over", 5.5, 20.5)]


def test_an_early_decision_counts_for_nothing() -> None:
    stage = Stage(plan(no_programme={"delay_s": 0}))
    early = replace(decision(5, 0.1, 0.1), final=False)
    assert stage.push(early) == []
    assert stage.push(decision(5, 0.1, 0.1)) == [("no_programme", "open", 5.5, 6.5)]


def test_a_title_that_is_not_the_song() -> None:
    stage = Stage(plan(wrong_title={"delay_s": 10, "clear_s": 5}))
    found = []
    for at in range(60):
        found += stage.push(second(at, title="One" if at < 30 else "Two"))
        if at % 5 == 4 and at >= 20:
            song = Match(
                "a", 15 * RATE, (at + 1) * RATE, RATE, None, "t", "Two", "", 0, 9.0, final=False
            )
            found += stage.push(song)
    assert found == [("wrong_title", "open", 15, 25), ("wrong_title", "over", 15, 30)]


def test_silence_opens_one_alarm_and_audio_closes_it() -> None:
    stage = Stage(plan(gone={"delay_s": 10, "escalate_s": 60, "severity": "warning"}))
    assert stage.push(audio(0), audio(1)) == []
    assert stage.wait(9.5) == []
    assert stage.wait(1.5) == [("gone", "open", 2, 2)]
    assert stage.wait(58) == []
    assert stage.wait(3) == [("gone", "escalated", 2, 2)]
    assert stage.wait(600) == []
    assert stage.push(audio(700)) == [("gone", "over", 2, 700)]
    assert stage.push(audio(701)) == []


@given(st.floats(0.5, 60), st.floats(0.01, 2.0))
@settings(deadline=None)
def test_silence_is_noticed_within_two_seconds(delay_s: float, turn_s: float) -> None:
    """Also where the loop is slow; an iteration counts for at most 2 s."""
    stage = Stage(plan(gone={"delay_s": delay_s}))
    stage.push(audio(0))
    began, found = stage.clock.now, []
    while not found:
        stage.clock.now += turn_s
        found = stage.push()
        assert stage.clock.now - began < delay_s + turn_s + 2.0
    assert stage.clock.now - began >= delay_s - 1e-3


def test_a_loop_that_stood_still_has_not_listened() -> None:
    stage = Stage(plan(gone={"delay_s": 10}))
    stage.push(audio(0))
    stage.clock.now += 600
    assert stage.push() == []
    assert stage.push(audio(1)) == []


class Away(SourceStatus):
    broker_error = "no answer"  # type: ignore[assignment]


def test_silence_of_a_broker_is_not_the_stations() -> None:
    stage = Stage(plan(gone={"delay_s": 10}))
    stage.push(audio(0))
    stage.stage.source = Away()
    assert stage.wait(60) == []
    stage.stage.source = None
    assert stage.wait(11) == [("gone", "open", 1, 1)]


def test_a_stream_that_was_ended_is_not_gone_unless_it_is_expected() -> None:
    for entries, expected in ((None, []), (["a"], [("gone", "open", 1, 1)])):
        listed = entries and [StationEntry(name=name, source="kafka") for name in entries]
        stage = Stage(plan(listed, gone={"delay_s": 10}))
        stage.push(audio(0), EndOfStream("a", RATE, RATE, "sent"))
        assert stage.wait(30) == expected
        stage.push(audio(1), EndOfStream("a", 2 * RATE, RATE, "idle"))
        assert stage.wait(30) == [("gone", "open", 2, 2)]


def test_a_station_that_never_comes() -> None:
    entries = [StationEntry(name="a", source="kafka"), StationEntry(name="b", source="b.wav")]
    stage = Stage(plan(entries, missing={"delay_s": 10}, gone={"delay_s": 5}))
    began = MONDAY
    [(rule, state, start, _)] = stage.wait(30)
    assert (rule, state) == ("missing", "open")
    assert start == pytest.approx(began, abs=1.0)
    [(rule, state, start, end)] = stage.push(audio(0))
    assert (rule, state) == ("missing", "over")
    assert end == pytest.approx(began + 30, abs=1.0)
    assert stage.wait(6) == [("gone", "open", 1, 1)]


def test_a_station_that_never_came_was_missing_until_the_end() -> None:
    stage = Stage(plan([StationEntry(name="a", source="kafka")], missing={"delay_s": 10}))
    stage.wait(30)
    [alarm] = stage.stage.finish(["a"])
    assert alarm.reason == "ended"
    assert alarm.end / RATE == pytest.approx(MONDAY + 30, abs=1.0)
    assert alarm.text == "never heard for 30 s"


Way = Literal["hole", "no hole", "sent", "finish", "withdrawn"]


@given(
    st.sampled_from(get_args(Way)),
    st.integers(3, 100),
    st.none() | st.integers(3, 50),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_a_closing_text_states_how_long_a_station_was_gone(
    way: Way, silent_s: int, restart_s: int | None, knows_time: bool
) -> None:
    """Whatever closes it, and also where the samples go on as if there had been no silence."""
    entries = [StationEntry(name="a", source="kafka")]
    stage = Stage(plan(entries, gone={"delay_s": 2}))
    time_of = (lambda _, sample, rate: MONDAY + sample / rate) if knows_time else None
    stage.stage.time_of = time_of or stage.stage.time_of
    stage.clock.now += 1
    stage.push(audio(0))
    assert stage.wait(silent_s) == [("gone", "open", 1, 1)]
    known_s = silent_s
    if restart_s is not None:
        part = stage.stage.snapshot(stage.stage.sessions["a"])
        assert part is not None
        before = stage.stage
        stage.stage = WatchAlarms(
            lambda: stage.plan, RATE, stage.clock, lambda: MONDAY + stage.clock.now - 1000
        )
        stage.stage.time_of = before.time_of
        stage.stage.restore(stage.stage.sessions["a"], part)
        stage.wait(restart_s)
        known_s = (silent_s if knows_time else 2) + restart_s  # a stop has no clock of its own
    if way == "hole":
        known_s = silent_s + (restart_s or 0)
        items = stage.stage.push([audio(1 + known_s)])
    elif way == "no hole":
        items = stage.stage.push([audio(1)])
    elif way == "sent":
        stage.plan = plan(None, gone={"delay_s": 2})
        items = stage.stage.push([EndOfStream("a", RATE, RATE, "sent")])
    elif way == "finish":
        items = [*stage.stage.finish(["a"])]
    else:
        stage.plan = plan([], gone={"delay_s": 2})
        items = stage.stage.push([])
    [closed] = [item for item in items if isinstance(item, Alarm)]
    assert closed.final
    assert closed.text in {f"no audio for {duration(known_s + more)}" for more in (-1, 0, 1)}
    if way != "no hole":
        assert closed.end / RATE - 1 == pytest.approx(known_s, abs=1.0)


class OneOfMany(SourceStatus):
    hears_all = False  # type: ignore[assignment]


def test_one_of_several_workers_misses_no_station() -> None:
    stage = Stage(plan([StationEntry(name="a", source="kafka")], missing={"delay_s": 10}))
    stage.stage.source = OneOfMany()
    assert stage.wait(60) == []


def test_an_unknown_station() -> None:
    stage = Stage(
        plan([StationEntry(name="b", source="kafka")], unknown={"delay_s": 2, "clear_s": 9})
    )
    found = [each for at in range(5) for each in stage.push(decision(at, 0.9, 0.1))]
    assert found == [("unknown", "open", 0.5, 2.5)]
    stage.push(audio(0, 7))
    entries = [StationEntry(name=name, source="kafka") for name in "ab"]
    stage.plan = plan(entries, unknown={})
    assert stage.push() == [("unknown", "withdrawn", 0.5, 7)]


def test_a_station_or_a_rule_that_is_removed() -> None:
    entries = [StationEntry(name="a", source="kafka")]
    stage = Stage(plan(entries, gone={"delay_s": 1}, dead_air={"delay_s": 1}))
    stage.push(audio(0), second(0, -90))
    assert stage.wait(3) == [("gone", "open", 1, 1)]
    stage.plan = plan(entries, gone={"delay_s": 1})
    assert stage.push() == [("dead_air", "withdrawn", 0, 1)]
    stage.plan = plan([], gone={"delay_s": 1})
    assert stage.push() == [("gone", "withdrawn", 1, 4)]  # it has been so for 3 s
    assert stage.wait(60) == []


def test_a_break_counts_as_the_condition_not_being_there() -> None:
    for gap_s, expected in ((2, []), (5, [("dead_air", "over", 0, 2)])):
        stage = Stage(plan(dead_air={"delay_s": 1, "clear_s": 3}))
        assert stage.push(second(0, -90), second(1, -90)) == [("dead_air", "open", 0, 1)]
        gap = Discontinuity("a", 2 * RATE, (2 + gap_s) * RATE, RATE, "missing")
        assert stage.push(gap) == expected


def test_the_end_of_the_audio_closes_what_is_of_the_audio() -> None:
    stage = Stage(plan(dead_air={"delay_s": 1}, gone={"delay_s": 1}))
    stage.push(audio(0, 3), second(0, -90))
    stage.wait(2)
    found = stage.push(EndOfStream("a", 3 * RATE, RATE, "idle"))
    assert found == [("dead_air", "ended", 0, 3)]
    assert told(stage.stage.finish(["a"])) == [("gone", "ended", 3, 5)]


def test_the_hours_of_a_station_and_the_quiet_hours_of_a_rule() -> None:
    entry = StationEntry(
        name="a", source="kafka", timezone="Europe/Amsterdam", hours=["06:00-24:00"],
        alarms={"dead_air": {"quiet": ["08:00-09:00"], "delay_s": 60}},
    )  # fmt: skip
    stage = Stage(plan([entry], dead_air={"clear_s": 0}))
    stage.stage.time_of = lambda _, sample, rate: MONDAY - 3600 + sample / rate  # 00:00 there
    found = []
    for minute in range(10 * 60):
        for at in (0, 20, 40):
            level = -20.0 if minute == 480 else -90.0
            one = second(60 * minute + at, level)
            found += stage.push(one)
    hours = [
        (state, round(start / 3600, 2), round(end / 3600, 2)) for _, state, start, end in found
    ]
    assert hours == [("open", 6.0, 6.02), ("over", 6.0, 8.0), ("open", 9.0, 9.02)]


def test_silence_out_of_hours_is_none() -> None:
    entry = StationEntry(name="a", source="kafka", hours=["00:00-00:01", "00:05-24:00"])
    stage = Stage(plan([entry], gone={"delay_s": 10}, missing={"delay_s": 10}))
    stage.clock.now += 55
    stage.push(audio(0))
    assert stage.wait(60 * 4) == []
    assert stage.wait(5.0 + 9.0) == []
    assert [each[:2] for each in stage.wait(3)] == [("gone", "open")]


@st.composite
def programmes(draw: st.DrawFn) -> list[Item]:
    """Return seconds and decisions of a station, with breaks, as the pipeline orders them."""
    items: list[Item] = []
    at = 2
    for _ in range(draw(st.integers(1, 40))):
        kind = draw(st.sampled_from(["second"] * 12 + ["gap", "end"]))
        if kind == "gap":
            length = draw(st.integers(1, 6))
            items.append(Discontinuity("a", at * RATE, (at + length) * RATE, RATE, "missing"))
            at += length
        elif kind == "end":
            items.append(EndOfStream("a", at * RATE, RATE, "idle"))
        else:
            level = draw(st.sampled_from([-90.0, -90.0, -47.0, -20.0]))
            frozen = draw(st.booleans())
            items += [
                audio(at),
                second(at, level, frozen=frozen, title=draw(st.sampled_from("XY"))),
            ]
            items.append(decision(at, *draw(st.sampled_from([(0.1, 0.1), (0.9, 0.1), (0.5, 0.5)]))))
            at += 1
    return items


RULES: dict[str, dict[str, Any]] = {
    "dead_air": {"delay_s": 2, "clear_s": 2, "escalate_s": 3},
    "frozen": {"delay_s": 1, "clear_s": 0},
    "no_programme": {"delay_s": 3, "clear_s": 1},
    "speech_missing": {"delay_s": 2, "clear_s": 1},
    "gone": {"delay_s": 30},
}


@given(programmes(), st.data())
@settings(deadline=None)
def test_a_restart_at_any_point_repeats_the_same_alarms(
    items: list[Item], data: st.DataObject
) -> None:
    whole = Stage(plan(**RULES))
    expected = [e for item in items for e in whole.stage.push([item]) if isinstance(e, Alarm)]
    at = data.draw(st.integers(0, len(items)))
    first = Stage(plan(**RULES))
    found = [e for e in first.stage.push(items[:at]) if isinstance(e, Alarm)]
    part = first.stage.snapshot(first.stage.sessions["a"])
    again = Stage(plan(**RULES))
    if part is not None:
        again.stage.restore(again.stage.sessions["a"], part)
        assert again.stage.snapshot(again.stage.sessions["a"]) == part
    found += [e for e in again.stage.push(items[at:]) if isinstance(e, Alarm)]
    assert found == expected
    for rule in RULES:
        of_rule = [each for each in expected if each.rule == rule]
        states = [each.final for each in of_rule if each.final or not each.escalated]
        assert all(a != b for a, b in pairwise(states))


@given(programmes(), st.lists(st.integers(0, 60)))
@settings(deadline=None)
def test_how_items_are_divided_changes_nothing(items: list[Item], cuts: list[int]) -> None:
    one, other = Stage(plan(**RULES)), Stage(plan(**RULES))
    edges = sorted({0, len(items), *(cut for cut in cuts if cut < len(items))})
    found = [each for a, b in pairwise(edges) for each in other.push(*items[a:b])]
    assert found == one.push(*items)


# The pipeline


def pipeline(clock: ManualClock | None = None, **rules: dict[str, Any]) -> Pipeline:
    fixed = plan(**rules)
    return Pipeline(
        FRONT_END, LoudnessClassifier(), SMOOTH, levels=Levels(RATE, each_second=True),
        alarms=WatchAlarms(lambda: fixed, RATE, clock or ManualClock(0.0)),
    )  # fmt: skip


def programme() -> np.ndarray:
    """Return 12 s of sound, 18 s of silence from the middle of a second on, 20 s of sound."""
    sound = noise(50.0, level=0.3)
    sound[round(12.5 * RATE) : round(30.5 * RATE)] = 0
    return sound


LIVE = {"dead_air": {"delay_s": 5, "clear_s": 2}, "no_programme": {"delay_s": 6, "clear_s": 2}}


def alarms_of(events: Sequence[object]) -> list[str]:
    return sorted(e.to_json() for e in events if isinstance(e, Alarm))


@pytest.mark.parametrize("size", [RATE // 3, 7 * RATE, 50 * RATE])
def test_alarms_are_the_same_however_audio_is_cut(size: int) -> None:
    events = pipeline(**LIVE).push(chunks_of(programme(), size, time=1.7e9), last=True)
    found = [e for e in events if isinstance(e, Alarm)]
    assert {(e.rule, e.final) for e in found} >= {("dead_air", False), ("dead_air", True)}
    opened = next(e for e in found if e.rule == "dead_air")
    assert opened.start == 13 * RATE
    assert opened.time == 1.7e9 + 13
    reference = pipeline(**LIVE).push(chunks_of(programme(), RATE, time=1.7e9), last=True)
    assert alarms_of(events) == alarms_of(reference)


def test_an_alarm_opens_within_its_delay_and_two_seconds() -> None:
    made, opened = pipeline(**LIVE), {}
    for chunk in chunks_of(programme(), RATE // 10):
        for event in made.push([chunk]):
            if isinstance(event, Alarm) and not event.final:
                opened[event.rule] = chunk.end / RATE - 12.5
    assert opened.keys() == LIVE.keys()
    assert LIVE["dead_air"]["delay_s"] <= opened["dead_air"] <= LIVE["dead_air"]["delay_s"] + 2.0


@pytest.mark.slow
@pytest.mark.parametrize("at_s", [5.3, 14.0, 17.9, 18.1, 25.0, 31.2, 32.9, 40.0])
def test_the_pipeline_continues_alarms_after_a_restart(at_s: float) -> None:
    chunks = chunks_of(programme(), RATE // 4, time=1.7e9)
    reference = alarms_of(pipeline(**LIVE).push(chunks, last=True))
    first, second_ = pipeline(**LIVE), pipeline(**LIVE)
    done = [chunk for chunk in chunks if chunk.end <= at_s * RATE]
    found = [event for chunk in done for event in first.push([chunk])]
    snapshot = through_json(first.snapshot("a"))
    assert second_.restore("a", snapshot)
    rest = [chunk for chunk in chunks if chunk.end > snapshot.oldest]
    found += second_.push(rest, last=True)
    assert sorted(set(alarms_of(found))) == reference
    assert len(alarms_of(found)) == len(reference)


def test_open_alarms_are_listed_after_a_restart_too() -> None:
    chunks = chunks_of(programme(), RATE, time=1.7e9)[:25]
    first = pipeline(**LIVE)
    opened = [e for e in first.push(chunks) if isinstance(e, Alarm)]
    assert first.open_alarms() == opened
    second_ = pipeline(**LIVE)
    second_.restore("a", through_json(first.snapshot("a")))
    assert second_.open_alarms() == opened
    assert first.alarms is not None
    assert first.alarms.counts() == {e.rule: 1 for e in opened}


@pytest.mark.parametrize("ends", ["sent", "idle", None])
def test_a_restart_while_a_station_is_silent(ends: str | None) -> None:
    """Its silence goes on, unless its sender has ended it, and it is not one never heard."""
    rules = {"gone": {"delay_s": 4}, "missing": {"delay_s": 4}}
    clock = ManualClock(0.0)
    first, second_ = pipeline(**rules), pipeline(clock, **rules)
    chunks = chunks_of(noise(8.0), RATE, time=1.7e9)
    first.push([*chunks, replace(chunks[-1], ends=ends)])
    assert second_.restore("a", through_json(first.snapshot("a")))
    found = []
    for _ in range(40):
        clock.now += 0.2
        found += second_.push([])
    assert told(found) == ([] if ends == "sent" else [("gone", "open", 8, 8)])


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_station_that_is_forgotten_closes_its_alarms(is_silent: bool) -> None:
    """One that another worker goes on with does not: there the alarm is still open."""
    clock, sink = ManualClock(0.0), ListSink()
    runner = Runner(pipeline(clock, gone={"delay_s": 4}), [sink], Stop())
    runner.step(chunks_of(noise(8.0), RATE, time=1.7e9))
    for _ in range(40):
        clock.now += 0.2
        runner.step([])
    runner.step([Lost("a", is_silent=is_silent)])
    runner.step([])
    opened, *rest = (e for e in sink.events if isinstance(e, Alarm))
    expected = [("gone", "open", 8, 8), ("gone", "ended", 8, 16)]
    assert told([opened, *rest]) == expected[: 1 + is_silent]
    assert {e.id for e in rest} == ({opened.id} if is_silent else set())
    assert runner.snapshots() == {}
