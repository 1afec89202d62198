"""Hours of the week in a station's own time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alarms.hours import DAYS, Hours, local_time, zone_of

AMSTERDAM = zone_of("Europe/Amsterdam")


def at(text: str) -> datetime:
    """Return a time of the week from Monday 2026-11-30, such as Fri 22:00."""
    day, clock = text.split()
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 11, 30, hour, minute, tzinfo=UTC) + timedelta(DAYS.index(day))


@pytest.mark.parametrize(
    ("span", "within", "without"),
    [
        ("06:00-10:00", ["Mon 06:00", "Sun 09:59"], ["Mon 05:59", "Sun 10:00"]),
        ("Mon-Fri 06:00-10:00", ["Fri 08:00"], ["Sat 08:00", "Sun 08:00"]),
        ("Sat,Sun 00:00-24:00", ["Sat 00:00", "Sun 23:59"], ["Fri 23:59", "Mon 00:00"]),
        ("Fri 22:00-06:00", ["Fri 22:00", "Sat 05:59"], ["Fri 05:59", "Sat 06:00", "Sat 22:00"]),
        ("Sun 22:00-06:00", ["Mon 01:00"], ["Sun 01:00"]),
        ("Fri-Mon 08:00-09:00", ["Fri 08:30", "Sun 08:30", "Mon 08:30"], ["Tue 08:30"]),
        ("mon 23:00-00:00", ["Mon 23:30"], ["Tue 00:00", "Mon 00:30"]),
        ("12:00-12:00", ["Mon 12:00", "Tue 11:59", "Wed 00:00"], []),
    ],
)
def test_spans(span: str, within: list[str], without: list[str]) -> None:
    hours = Hours.parse([span])
    assert [text for text in within if not hours.has(at(text))] == []
    assert [text for text in without if hours.has(at(text))] == []


@pytest.mark.parametrize(
    "text",
    ["", "6:00-10:00", "06:00", "06:00-25:00", "06:60-07:00", "24:00-06:00", "Xyz 06:00-07:00",
     "Mon- 06:00-07:00", "06:00-24:01", "Mon 06:00 - 07:00"],
)  # fmt: skip
def test_what_is_no_span_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be like|no day of|time that is none"):
        Hours.parse([text])


def test_no_spans_have_no_time() -> None:
    assert not Hours.parse([]).has(at("Mon 12:00"))


@given(st.integers(0, 7 * 1440 - 1), st.integers(0, 1439), st.integers(1, 1440), st.integers(0, 6))
def test_a_span_is_as_long_as_it_says(minute: int, begin: int, length: int, day: int) -> None:
    finish = (begin + length) % 1440
    text = f"{DAYS[day]} {begin // 60:02}:{begin % 60:02}-{finish // 60:02}:{finish % 60:02}"
    first = day * 1440 + begin
    is_within = (minute - first) % (7 * 1440) < length
    moment = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(minutes=minute)
    assert Hours.parse([text]).has(moment) == is_within


@pytest.mark.parametrize(
    ("span", "day", "hours"),
    [
        ("02:00-03:00", datetime(2026, 3, 29, tzinfo=AMSTERDAM), 0.0),  # the hour is left out
        ("02:00-03:00", datetime(2026, 10, 25, tzinfo=AMSTERDAM), 2.0),  # and comes twice
        ("02:00-03:00", datetime(2026, 6, 1, tzinfo=AMSTERDAM), 1.0),
        ("00:00-24:00", datetime(2026, 3, 29, tzinfo=AMSTERDAM), 23.0),
        ("00:00-24:00", datetime(2026, 10, 25, tzinfo=AMSTERDAM), 25.0),
    ],
)
def test_days_on_which_clocks_are_put_back_and_forth(
    span: str, day: datetime, hours: float
) -> None:
    found = Hours.parse([span])
    begin = day.timestamp()
    minutes = [begin + 60 * i for i in range(26 * 60)]
    same = [m for m in minutes if local_time(m, AMSTERDAM).date() == day.date()]
    assert sum(found.has(local_time(m, AMSTERDAM)) for m in same) / 60 == hours


def test_a_zone_that_is_none() -> None:
    with pytest.raises(ValueError, match="timezone='Europe/Nowhere' is unknown"):
        zone_of("Europe/Nowhere")
    with pytest.raises(ValueError, match="is unknown"):
        zone_of("../../etc/passwd")
