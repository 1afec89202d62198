"""Days and hours of a period, also where clocks are set."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.reports.days import HOUR_MS, days, hours, whole_day

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    "Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Africa/Cairo", "America/Santiago", "Pacific/Apia",
]  # fmt: skip


def ms(zone, *parts) -> int:
    return round(datetime(*parts, tzinfo=zone).timestamp() * 1000)


@given(
    st.sampled_from(ZONES).map(ZoneInfo),
    st.integers(946_684_800_000, 4_102_444_800_000),
    st.integers(1, 9 * 86_400_000),
    st.sampled_from([days, hours]),
)
@pytest.mark.slow
def test_parts_are_the_period_in_order_and_without_holes(zone, since, length, cut):
    parts = cut(since, since + length, zone)
    assert parts[0].start == since
    assert parts[-1].end == since + length
    assert all(a.end == b.start for a, b in pairwise(parts))
    assert all(part.start < part.end for part in parts)


@given(st.sampled_from(ZONES).map(ZoneInfo), st.integers(946_684_800_000, 4_102_444_800_000))
def test_hours_are_cut_at_the_ends_of_days_too(zone, moment):
    start, end = whole_day(moment, zone)
    assert start <= moment < end
    [day] = days(start, end, zone)
    assert (day.start, day.end) == (start, end)
    edges = {part.start for part in hours(start - HOUR_MS * 30, end, zone)}
    assert start in edges


@pytest.mark.parametrize(
    ("day", "count"), [((2026, 3, 29), 23), ((2026, 3, 28), 24), ((2026, 10, 25), 25)]
)
def test_a_day_has_as_many_hours_as_clocks_give_it(day, count):
    start, end = whole_day(ms(BERLIN, *day, 12), BERLIN)
    assert end - start == count * HOUR_MS
    found = hours(start, end, BERLIN)
    assert len(found) == count
    assert all(part.end - part.start == HOUR_MS for part in found)
    assert {part.day for part in found} == {datetime(*day, tzinfo=UTC).date()}


def test_the_two_hours_of_one_name_are_told_apart():
    start, end = whole_day(ms(BERLIN, 2026, 10, 25, 12), BERLIN)
    names = [part.local.isoformat(timespec="minutes") for part in hours(start, end, BERLIN)]
    assert names[2:4] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]
    assert len(set(names)) == 25


def test_a_zone_whose_day_begins_at_one():
    #  Cairo 2023-04-28: clocks jump from 00:00 to 01:00
    cairo = ZoneInfo("Africa/Cairo")
    start, end = whole_day(ms(cairo, 2023, 4, 28, 12), cairo)
    assert end - start == 23 * HOUR_MS
    assert days(start, end, cairo)[0].local.hour == 1


@pytest.fixture
def machine_in_berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_berlin")
@pytest.mark.parametrize(("day", "count"), [((2026, 3, 29), 23), ((2026, 10, 25), 25)])
def test_without_a_zone_days_are_those_of_the_machine(day, count):
    start, end = whole_day(ms(BERLIN, *day, 12), None)
    assert (start, end) == whole_day(ms(BERLIN, *day, 12), BERLIN)
    found = hours(start, end, None)
    assert [part.start for part in found] == [part.start for part in hours(start, end, BERLIN)]
    assert len(found) == count
    assert len(days(start, end, None)) == 1
