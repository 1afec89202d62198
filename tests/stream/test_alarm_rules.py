"""The rules of a station: the configuration's, with what its entry changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stream.alarms.plans import FixedPlan, PlanOfFile, PlanOfSource
from stream.alarms.rules import DECISION_VALUES, KINDS, LEVEL_VALUES, AlarmPlan
from stream.alarms.settings import AlarmSettings, RulesSettings
from stream.alarms.text import describe, duration
from stream.kafka.settings import KafkaSettings
from stream.sources.settings import HttpSettings
from stream.stations.entry import StationEntry, StationList, read_stations
from stream.stations.watch import FileWatch
from stream.testing import ManualClock

RATE = 16_000
HTTP = HttpSettings.default()
SETTINGS = AlarmSettings.default()
DOCS = Path(__file__).parents[2] / "docs"


def read(path: Path, text: str) -> StationList:
    path.write_text(text, encoding="utf-8")
    return read_stations(path, HTTP, KafkaSettings.default())


def test_every_kind_has_a_rule_something_to_look_at_and_a_place_in_the_schema() -> None:
    assert KINDS.keys() == RulesSettings.model_fields.keys()
    assert {kind.name for kind in KINDS.values() if kind.reads == "level"} == LEVEL_VALUES.keys()
    decided = {kind.name for kind in KINDS.values() if kind.reads == "decision"}
    assert decided == {*DECISION_VALUES, "unknown"}
    schema = json.loads((DOCS / "schemas" / "alarm.json").read_text())
    assert schema["properties"]["rule"]["enum"] == list(KINDS)
    page = (DOCS / "alarms.md").read_text()
    assert [name for name in KINDS if f"`{name}`" not in page] == []


def test_an_entry_changes_rules_for_its_station_alone(tmp_path: Path) -> None:
    found = read(
        tmp_path / "list.toml",
        """
        [[stations]]
        name = "a"
        source = "kafka"
        group = "north"
        timezone = "Europe/Amsterdam"
        hours = ["Mon-Fri 06:00-24:00"]
        alarms.dead_air = { delay_s = 5, severity = "warning", threshold = -40 }
        alarms.too_loud.enabled = false
        alarms.speech_missing = { enabled = true, hours = ["06:00-09:00"] }

        [[stations]]
        name = "b"
        source = "b.wav"
        """,
    )
    assert found.problems == ()
    plan = AlarmPlan(SETTINGS, RATE, found.enabled)
    a, b, other = plan.of("a"), plan.of("b"), plan.of("c")
    assert (a.group, a.is_listed, a.is_expected) == ("north", True, True)
    assert (b.is_listed, b.is_expected, other.is_listed) == (True, False, False)
    assert plan.expected == ("a",)
    rule = a.by_kind["dead_air"]
    assert (rule.limits.delay, rule.severity, rule.threshold) == (5 * RATE, "warning", -40.0)
    assert rule.limits.clear == b.by_kind["dead_air"].limits.clear
    assert "too_loud" not in a.by_kind
    assert "too_loud" in b.by_kind
    assert "speech_missing" not in b.by_kind
    morning = 1_796_022_000.0 // 86_400 * 86_400 + 5.5 * 3600  # 06:30 there in winter
    speech = a.by_kind["speech_missing"]
    assert speech.is_active(morning)
    assert not speech.is_active(morning + 3 * 3600)
    assert rule.is_active(morning + 3 * 3600)
    assert not rule.is_active(morning - 3600)
    assert not rule.is_active(None)
    assert b.by_kind["dead_air"].is_active(None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("alarms.dead_ear.delay_s = 5", "dead_ear: Extra inputs"),
        ("alarms.dead_air.delay = 5", "dead_air.delay: Extra inputs"),
        ("alarms.dead_air.delay_s = -5", "dead_air.delay_s"),
        ('alarms.dead_air.hours = ["6-10"]', "no span of hours"),
        ("alarms.gone.threshold = 5", "gone.threshold: Extra inputs"),
        ('hours = ["25:00-26:00"]', "has a time that is none"),
        ('timezone = "Mars/Olympus"', "is unknown"),
        ("alarms.dead_air = 5", "alarms.dead_air"),
    ],
)
def test_an_entry_that_is_wrong_is_left_out_and_the_others_are_not(
    tmp_path: Path, line: str, problem: str
) -> None:
    head = '[[stations]]\nsource = "kafka"\nname = '
    text = f'{head}"a"\n{line}\n{head}"b"\n'
    found = read(tmp_path / "list.toml", text)
    assert [entry.name for entry in found.entries] == ["b"]
    assert problem in found.problems[0].text


def test_what_a_reception_depends_on() -> None:
    entry = StationEntry(name="a", source="a.wav")
    changed = entry.model_copy(update={"alarms": {"gone": {"delay_s": 9}}, "group": "x"})
    assert changed.reception == entry.reception
    assert entry.model_copy(update={"track": "2"}).reception != entry.reception


def test_a_list_is_read_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    monkeypatch.setattr("stream.alarms.plans.FileWatch", lambda path: FileWatch(path, clock))
    path = tmp_path / "list.toml"
    one = '[[stations]]\nname = "a"\nsource = "kafka"\n'
    path.write_text(one + 'group = "x"\n', encoding="utf-8")
    plan_of = PlanOfFile(SETTINGS, RATE, path, HTTP, KafkaSettings.default())
    first = plan_of()
    assert plan_of() is first

    def then(text: str) -> AlarmPlan:
        path.write_text(text, encoding="utf-8")
        for _ in range(3):
            clock.now += 2.0
            found = plan_of()
        return found

    second = then(one + '[[stations]]\nname = "b"\nsource = "kafka"\n')
    assert second.expected == ("a", "b")
    third = then(
        one + 'hours = ["x"]\n' + '[[stations]]\nname = "b"\nsource = "kafka"\ntrack = "1"\n'
    )
    assert set(third.expected) == {"a", "b"}  # a is as it was
    assert then("[[stations") is third
    assert then("") is third
    path.unlink()
    os.mkfifo(path)
    for _ in range(3):
        clock.now += 2.0
        assert plan_of() is third
    assert "the alarms stay as they are" in caplog.text


def test_plans_without_a_file() -> None:
    fixed = FixedPlan(SETTINGS, RATE)
    assert fixed() is fixed()
    assert fixed().of("any").is_listed
    entries = [{"a": StationEntry(name="a", source="http://h/")}]
    plan_of = PlanOfSource(SETTINGS, RATE, lambda: entries[-1])
    first = plan_of()
    assert plan_of() is first
    entries.append({})
    assert plan_of().expected == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (12.4, "12 s"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (93_600, "1 d 2 h"),
        (3601, "1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_words() -> None:
    rules = AlarmPlan(SETTINGS, RATE).of("a").by_kind
    assert describe(rules["gone"], 30, None) == "no audio for 30 s"
    assert describe(rules["dead_air"], 61, -80.123) == (
        "dead air for 1 min 1 s: -80.123 dBFS, the limit is -50"
    )
    assert describe(rules["frozen"], 1, 1.0) == "the same audio again and again for 1 s"
