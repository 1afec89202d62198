"""Reports from the history: what is in them, and that parts add up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airsift.reports.airtime import LABELS, STATES
from airsift.reports.report import Report
from tests.airsift.reported import DAY, NORTH, base_of, report_of
from tests.stream.databases import Base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return base_of(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def north(base: Base):
    return report_of(base).stations[0]


def test_the_day_in_seconds(north):
    assert {state: ms / 1000 for state, ms in north.total.items()} == {
        "speech_over_music": 100, "speech": 3500, "music": 3600 + 75_480, "other": 1800,
        "silence": 1800, "gap": 120, "unknown": 0,
    }  # fmt: skip
    assert sum(north.total.values()) == 86_400_000
    assert north.heard_ms == 86_280_000
    assert [len(north.hours), len(north.days)] == [24, 1]


def test_the_playlist(north):
    shown = [
        (play.key, (play.begin // 1000) - DAY, (play.end // 1000) - DAY, play.continued,
         play.foreground_ms // 1000, play.under_speech_ms // 1000)
        for play in north.plays
    ]  # fmt: skip
    assert shown == [
        ("orbital", -100, 150, True, 150, 0),
        ("orbital", 3400, 3650, False, 180, 50),
        ("formula", 20_000, 20_200, False, 200, 0),
        ("ink", 30_000, 30_180, False, 180, 0),
        ("late", 86_350, 86_500, False, 50, 0),
    ]


def test_rotation_and_first_plays(base, north):
    plays = {each.key: (each.plays, each.is_new) for each in north.rotation}
    assert plays == {
        "orbital": (1, False), "formula": (1, True), "ink": (1, True), "late": (1, True),
    }  # fmt: skip
    # The other station had played it before, and this one had not.
    [other] = report_of(base).stations[1].rotation
    assert (other.key, other.plays, other.is_new) == ("formula", 1, False)


def test_unknown_music_is_what_has_no_name(north):
    [piece] = north.unknown
    assert (piece.cluster, len(piece.heard), piece.count) == ("59ffb420f9", 3, 3)
    named = 150 + 100 + 130 + 200 + 180 + 50
    assert north.unnamed_ms == (3700 + 75_480 - named) * 1000


def test_outages_have_their_reason(base, north):
    [outage] = north.outages
    assert (outage.start // 1000 - DAY, outage.end // 1000 - DAY) == (10_800, 10_920)
    assert outage.reason == "connection lost <b>"
    [nothing] = report_of(base).stations[1].outages
    assert (nothing.end - nothing.start, nothing.reason) == (82_800_000, "")


def test_alarms_that_were_open_in_the_period(north):
    shown = [(each.rule, each.is_open, each.severity, each.text) for each in north.alarms]
    assert shown == [
        ("still_open", True, "critical", "still_open <i>"),
        ("silent_stream", False, "critical", "silent_stream <i>"),
    ]


def sums(report: Report) -> list[int]:
    """Return all that adds up: milliseconds of states, plays, and seconds of plays."""
    [station] = report.stations
    plays = station.plays
    return [
        *(station.total[state] for state in STATES),
        station.heard_ms,
        station.unnamed_ms,
        sum(each.plays for each in station.rotation),
        sum(not play.continued for play in plays),
        sum(each.plays for each in station.hours),
        sum(each.plays for each in station.days),
        *(sum(getattr(play, name) for play in plays)
          for name in ("foreground_ms", "under_speech_ms", "other_ms")),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_day_is_the_sum_of_its_hours(base):
    whole = report_of(base, stations=[NORTH])
    hours = [
        report_of(base, hour * 3600, hour * 3600 + 3600, stations=[NORTH]) for hour in range(24)
    ]
    assert [sum(parts) for parts in zip(*map(sums, hours), strict=True)] == sums(whole)
    for hour, part in zip(whole.stations[0].hours, hours, strict=True):
        assert part.stations[0].total == dict(hour.sums)


@given(st.lists(st.integers(-5000, 88_000), min_size=2, max_size=4, unique=True).map(sorted))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_parts_of_a_period_add_up(base, edges):
    parts = [report_of(base, *pair, stations=[NORTH]) for pair in pairwise(edges)]
    whole = report_of(base, edges[0], edges[-1], stations=[NORTH])
    assert [sum(each) for each in zip(*map(sums, parts), strict=True)] == sums(whole)
    [station] = whole.stations
    heard = sum(station.total[label] for label in LABELS)
    length = (edges[-1] - edges[0]) * 1000
    assert heard == length - station.total["gap"] - station.total["unknown"]
