"""The laws of the hub: what readers have is what it has, and it stays small."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.web.hub import EventLog, Hub
from airsift.web.views import LANES, QUIET_S
from stream.events import Labelled
from stream.lines import to_json_bytes
from tests.airsift.web.reader import Reader
from tests.stream.stored_events import events as stored_events

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FEW = st.sampled_from(["a", "b", "c/d", "<script>"])


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """Return an event with one field that may be anything, or is missing."""
    event = draw(stored_events(FEW)).to_dict()
    name = draw(st.sampled_from(sorted(event)))
    if draw(st.booleans()):
        del event[name]
    else:
        event[name] = draw(JSON)
    return event


EVENTS = st.lists(stored_events(FEW).map(lambda event: event.to_dict()) | damaged(), max_size=60)


@given(EVENTS, st.lists(st.integers(1, 9), min_size=1), st.data())
def test_a_reader_that_asks_at_any_moments_has_what_the_hub_has(events, cuts, data) -> None:
    hub, reader = Hub(max_stations=3), Reader()
    now_s = 0.0
    while events:
        count = cuts[len(events) % len(cuts)]
        hub.put(events[:count], now_s)
        events = events[count:]
        now_s += 20.0
        if data.draw(st.booleans()):
            message = json.loads(to_json_bytes(hub.changes(reader.revision)))
            reader.apply(message)
            assert reader.state() == Reader.of(hub).state()
    reader.apply(hub.changes(reader.revision))
    assert reader.state() == Reader.of(hub).state()


@given(EVENTS)
def test_reading_changes_nothing(events) -> None:
    hub, other = Hub(), Hub()
    for event in events:
        hub.put([event], 0.0)
        other.put([event], 0.0)
        before = copy.deepcopy(event)
        hub.changes(), hub.changes(hub.revision), hub.log.since(0)
        assert repr(event) == repr(before)
    assert hub.changes() == other.changes()


@given(EVENTS)
def test_what_is_no_event_is_counted_and_passed_over(events) -> None:
    hub = Hub()
    hub.put([*events, {}, {"schema": "airsift.segment/1"}], 0.0)
    assert hub.refused >= 2
    assert hub.refused + hub.log.end == len(events) + 2


@given(st.integers(1, 20), st.lists(st.integers(0, 15)), st.integers(1, 7))
def test_a_reader_of_the_log_gets_each_event_once_or_is_told_how_many_are_lost(
    size, counts, limit
) -> None:
    log, at, got, lost, number = EventLog(size), 0, [], 0, 0
    for count in counts:
        for _ in range(count):
            log.append({"n": number})
            number += 1
        some, at, missed = log.since(at, limit)
        assert len(some) <= limit
        got += [event["n"] for event in some]
        lost += missed
    while at < log.end:
        some, at, missed = log.since(at, limit)
        got += [event["n"] for event in some]
        lost += missed
    assert got == sorted(set(got))
    assert len(got) + lost == number


def test_a_position_of_another_process_is_that_of_the_oldest() -> None:
    log = EventLog(3)
    for number in range(5):
        log.append({"n": number})
    assert [event["n"] for event in log.since(99)[0]] == [2, 3, 4]


def segment(start_s: float, end_s: float, **more: Any) -> dict[str, Any]:
    return {
        "schema": "airsift.segment/1", "station": "a", "start_s": start_s, "end_s": end_s,
        "time": None, "label": "music", "score": 0.9, "final": True, **more,
    }  # fmt: skip


def decision(at_s: float, **more: Any) -> dict[str, Any]:
    return {
        "schema": "airsift.decision/1", "station": "a", "start_s": at_s - 5, "end_s": at_s,
        "time": None, "p_speech": 0.1, "p_music": 0.9, **more,
    }  # fmt: skip


def test_memory_is_bounded() -> None:
    hub = Hub(max_stations=4, max_log=10)
    for n in range(3000):
        event = segment(n * 10, n * 10 + 10, station=f"s{n % 7}")
        hub.put([event, decision(n * 10 + 10, station=f"s{n % 7}")], float(n))
    assert len(hub.stations) == 4
    assert len(hub.log.since(0)[0]) == 10
    for view in hub.stations.values():
        assert len(list(view.spans.values())) <= LANES["spans"][0]
        changes = view.changes(-1)
        assert len(changes["spans"]) <= LANES["spans"][1]
        assert len(changes["trace"]) <= LANES["trace"][1]


def test_one_look_shows_what_is_on() -> None:
    hub = Hub()
    match = {
        "schema": "airsift.match/1", "station": "a", "start_s": 10, "end_s": 22, "time": None,
        "track": "k", "title": "Starfall", "artist": "Nova", "track_start_s": 3.5, "score": 9.0,
        "final": False, "track_duration_s": 200.0,
    }  # fmt: skip
    hub.put([segment(0, 10, label="speech", voice="female"), segment(10, 20, final=False)], 0.0)
    hub.put([match, decision(21)], 1.0)
    now = hub.stations["a"].now
    assert (now["label"], now["open"], now["since_ms"]) == ("music", True, 10_000)
    assert now["song"]["title"] == "Starfall"
    assert hub.stations["a"].head_ms == 22_000
    hub.put([match | {"final": True, "end_s": 30}, segment(10, 30)], 2.0)
    now = hub.stations["a"].now
    assert now["song"] is None
    assert now["open"] is False


def test_an_event_that_comes_again_changes_nothing_that_is_shown() -> None:
    hub = Hub()
    some = [segment(0, 10), segment(10, 20, final=False), decision(20)]
    hub.put(some, 0.0)
    before = hub.stations["a"].changes(-1)
    hub.put(some, 0.0)
    assert hub.stations["a"].changes(-1) == before


@pytest.mark.parametrize("after_s", [1.0, QUIET_S + 1])
def test_old_events_are_no_news_unless_the_clock_was_set_back(after_s: float) -> None:
    hub = Hub()
    hub.put([segment(90_000, 90_010), decision(90_010)], 0.0)
    hub.put([decision(5_000)], after_s)
    is_back = after_s > QUIET_S
    assert hub.stations["a"].head_ms == (5_000_000 if is_back else 90_010_000)
    assert ("spans" in hub.stations["a"].changes(-1)) is not is_back


def test_an_alarm_is_open_until_it_is_over() -> None:
    hub = Hub()
    alarm = {
        "schema": "airsift.alarm/1", "id": "a/alarm/0/dead_air", "station": "a", "start_s": 0,
        "end_s": 5, "time": None, "rule": "dead_air", "final": False, "severity": "critical",
        "text": "dead air for 30 s",
    }  # fmt: skip
    hub.put([alarm], 0.0)
    [shown] = hub.stations["a"].changes(-1)["alarms"]
    assert (shown["open"], shown["text"]) == (True, "dead air for 30 s")
    hub.put([alarm | {"final": True, "end_s": 60}], 1.0)
    [shown] = hub.stations["a"].changes(-1)["alarms"]
    assert shown["open"] is False


def test_labels_of_your_own_are_shown_while_they_hold() -> None:
    hub = Hub()

    def shown(label: str, start: int, end: int, *, final: bool) -> object:
        event = Labelled("a", start, end, 16_000, None, label, 0.9, final)
        hub.put([event.to_dict()], 0.0)
        [station] = hub.changes()["stations"]
        return station["now"]["labels"]

    assert shown("rain", 0, 32_000, final=False) == ["rain"]
    assert shown("applause", 16_000, 48_000, final=False) == ["applause", "rain"]
    assert shown("rain", 0, 64_000, final=True) == ["applause"]
    assert shown("applause", 16_000, 80_000, final=True) == []
