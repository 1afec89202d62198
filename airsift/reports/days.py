"""Days and hours of a period, as clocks show them where the report is for.

A day on which clocks are set has 23 or 25 hours. An hour begins when the clock shows it, and is
named with its difference to UTC, so the two hours of one name are told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

HOUR_MS = 3_600_000

# From a moment, and its local time, to the moment of the next boundary.
_Following = Callable[[int, datetime, tzinfo | None], int]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a period: [start, end) in Unix milliseconds, and the local time it begins at."""

    start: int
    end: int
    local: datetime

    @property
    def day(self) -> date:
        """The date that it begins on."""
        return self.local.date()


def local_time(unix_ms: int, zone: tzinfo | None) -> datetime:
    """Return a time in a zone (None: of this machine) with its difference to UTC."""
    found = datetime.fromtimestamp(unix_ms / 1000, zone)
    return found.astimezone() if zone is None else found


def days(since: int, until: int, zone: tzinfo | None) -> list[Part]:
    """Return the days of [since, until); the first and the last may be parts of days."""
    return _parts(since, until, zone, _next_day)


def hours(since: int, until: int, zone: tzinfo | None) -> list[Part]:
    """Return the hours of [since, until); each ends where the clock shows a full hour.

    Where clocks are set by less than an hour, one hour has two parts, or is longer.
    """
    return _parts(since, until, zone, _next_hour)


def whole_day(unix_ms: int, zone: tzinfo | None) -> tuple[int, int]:
    """Return begin and end of the day of a moment."""
    day = local_time(unix_ms, zone).date()
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _parts(since: int, until: int, zone: tzinfo | None, following: _Following) -> list[Part]:
    parts = []
    while since < until:
        local = local_time(since, zone)
        end = min(max(following(since, local, zone), since + 1), until)
        parts.append(Part(since, end, local))
        since = end
    return parts


def _next_hour(since: int, local: datetime, zone: tzinfo | None) -> int:
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return since + HOUR_MS - round(past.total_seconds() * 1000)


def _next_day(since: int, local: datetime, zone: tzinfo | None) -> int:
    return _midnight(local.date() + timedelta(days=1), zone)


def _midnight(day: date, zone: tzinfo | None) -> int:
    # Where clocks jump over midnight, Python means the moment of the jump.
    return round(datetime.combine(day, time(), zone).timestamp() * 1000)
