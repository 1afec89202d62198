from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift import cli
from airsift.cli.moments import local, moment_of, read_moment, zone_of
from airsift.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 30, 10, 0, tzinfo=BERLIN)  # a Monday


def read(text, *, now=NOW, is_end=False):
    moment = moment_of(text, now, is_end=is_end)
    assert not moment.remark
    return local(moment.unix_ms, now.tzinfo).isoformat()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-11-30T10:00:00+01:00"),
        ("2 hours ago", "2026-11-30T08:00:00+01:00"),
        ("90s ago", "2026-11-30T09:58:30+01:00"),
        ("1 hour 30 minutes ago", "2026-11-30T08:30:00+01:00"),
        ("1 day ago", "2026-11-29T10:00:00+01:00"),
        ("2 weeks ago", "2026-11-16T10:00:00+01:00"),
        ("15:04", "2026-11-30T15:04:00+01:00"),
        ("15:04:30.5", "2026-11-30T15:04:30.500000+01:00"),
        ("3:04 pm", "2026-11-30T15:04:00+01:00"),
        ("12 am", "2026-11-30T00:00:00+01:00"),
        ("12pm", "2026-11-30T12:00:00+01:00"),
        ("  Yesterday   15:04 ", "2026-11-29T15:04:00+01:00"),
        ("today", "2026-11-30T00:00:00+01:00"),
        ("sunday 12:00", "2026-11-29T12:00:00+01:00"),
        ("monday", "2026-11-23T00:00:00+01:00"),
        ("2026-11-29", "2026-11-29T00:00:00+01:00"),
        ("2026-11-29 15:04", "2026-11-29T15:04:00+01:00"),
        ("2026-07-29T15:04:30", "2026-07-29T15:04:30+02:00"),
        ("2026-11-29t15:04z", "2026-11-29T16:04:00+01:00"),
        ("2026-11-29T15:04-05:00", "2026-11-29T21:04:00+01:00"),
        ("@1795964640", "2026-11-29T16:04:00+01:00"),
    ],
)
def test_times_as_people_write_them(text, expected):
    assert read(text) == expected


def test_a_day_as_the_end_of_a_range_is_its_end():
    assert read("yesterday", is_end=True) == "2026-11-30T00:00:00+01:00"
    assert read("2026-10-25", is_end=True) == "2026-10-26T00:00:00+01:00"
    assert read("yesterday 15:04", is_end=True) == "2026-11-29T15:04:00+01:00"


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "25:00", "13:00 pm", "0 am", "15", "2026-13-01", "2026-02-30", "2 parsecs ago",
        "ago", "1.5 days ago", "@99999999999999", "yesterday tomorrow", "99999 weeks ago", "15:04:",
        "9999-12-31", "\0", "1969-12-31",
    ],
)  # fmt: skip
def test_what_is_no_time_is_told_with_examples(text):
    with pytest.raises(ConfigError, match=r"is no time that is known here.*yesterday 15:04"):
        moment_of(text, NOW, is_end=True)


def test_a_time_that_comes_twice_is_the_first_and_both_are_told():
    moment = moment_of("2026-10-25 02:30", NOW)
    assert local(moment.unix_ms, BERLIN).isoformat() == "2026-10-25T02:30:00+02:00"
    assert "comes twice" in moment.remark
    written = moment.remark.partition("write ")[2].split()[0]
    second = moment_of(written, NOW)
    assert second.unix_ms - moment.unix_ms == 3_600_000


def test_a_time_that_does_not_exist_is_as_long_after_midnight():
    moment = moment_of("2026-03-29 02:30", NOW)
    assert local(moment.unix_ms, BERLIN).isoformat() == "2026-03-29T03:30:00+02:00"
    assert "does not exist" in moment.remark


def test_the_zone_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        now = datetime(2026, 11, 30, 10, 0)  # noqa: DTZ001
        moment = moment_of("yesterday 15:04", now)
        assert local(moment.unix_ms, None).isoformat() == "2026-11-29T15:04:00-05:00"
        assert "comes twice" in moment_of("2026-11-01 01:30", now).remark
        assert "does not exist" in moment_of("2026-03-08 02:30", now).remark
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_the_zone_of_the_machine_is_that_zone_on_any_day(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for day in ("2026-01-15", "2026-03-29", "2026-07-15", "2026-10-25", "yesterday"):
            for clock in ("02:30", "15:04"):
                text = f"{day} {clock}"
                assert read_moment(text, None) == read_moment(text, ZoneInfo(zone)), text
    finally:
        monkeypatch.undo()
        time.tzset()


def test_every_command_reads_times_in_one_way():
    commands = Path(cli.__file__).parent
    users = {path.name for path in commands.glob("*.py") if "moment_of(" in path.read_text()}
    assert users == {"moments.py"}


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]),
)
def test_a_time_is_read_as_the_clock_shows_it_or_the_difference_is_told(clock, zone):
    now = datetime(2026, 11, 30, tzinfo=ZoneInfo(zone))
    clock = clock.replace(second=0, microsecond=0)
    moment = moment_of(f"{clock:%Y-%m-%d %H:%M}", now)
    shown = local(moment.unix_ms, now.tzinfo).replace(tzinfo=None)
    assert shown == clock or "does not exist" in moment.remark
    assert abs(shown - clock) <= timedelta(hours=1)


@given(st.text(max_size=20))
def test_any_text_is_a_time_or_refused(text):
    with suppress(ConfigError):
        moment_of(text, datetime.now(UTC))


def test_an_unknown_zone_is_refused():
    assert zone_of(None) is None
    for name in ("Europe/Nowhere", "", "../../etc/passwd", "/etc/localtime"):
        with pytest.raises(ConfigError, match="no such zone"):
            zone_of(name)
