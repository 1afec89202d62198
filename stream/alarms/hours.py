"""Hours of the week in a station's own time: ``Mon-Fri 06:00-10:00``.

A span is a range of the clock on the wall. Where that is put back, the hour that comes twice is in
the span both times; an hour that is left out is in none. A span that ends before it begins goes on
over midnight, and belongs to the day on which it begins::

    Fri 22:00-06:00      from Friday 22:00 to Saturday 06:00
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES = 24 * 60
_FORM = "it must be like 06:00-10:00, Sat,Sun 22:00-06:00 or Mon-Fri 00:00-24:00"
_SPAN = re.compile(r"(?:([A-Za-z,-]+) +)?(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of the clock on some days.

    Parameters
    ----------
    days : frozenset of int
        The days on which it begins; 0 is Monday.
    begin, end : int
        Minutes of the day, `begin` in [0, 1440) and `end` in (0, 1440]; an `end` that is not after
        `begin` is on the next day.
    """

    days: frozenset[int]
    begin: int
    end: int

    def has(self, day: int, minute: int) -> bool:
        """Whether a minute (with its fraction cut off) of a day is in the span."""
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        if minute >= self.begin:
            return day in self.days
        return minute < self.end and (day - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Hours:
    """Spans of the week; empty: none of it."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Hours:
        """Read spans.

        Raises
        ------
        ValueError
            One has another form, names no day, or has no such time.
        """
        return cls(tuple(_span(text) for text in texts))

    def has(self, local: datetime) -> bool:
        """Whether a time on the wall is in one of the spans."""
        minute = local.hour * 60 + local.minute
        return any(span.has(local.weekday(), minute) for span in self.spans)


def _span(text: str) -> Span:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no span of hours: {_FORM}")
    days, *digits = found.groups()
    first_h, first_m, last_h, last_m = map(int, digits)
    begin, end = first_h * 60 + first_m, last_h * 60 + last_m
    if max(first_m, last_m) > 59 or begin >= MINUTES or not 0 <= end <= MINUTES:
        raise ValueError(f"{text!r} has a time that is none: {_FORM}")
    return Span(_days(days, text), begin, end or MINUTES)


def _days(names: str | None, text: str) -> frozenset[int]:
    if names is None:
        return frozenset(range(7))
    found: set[int] = set()
    for part in names.split(","):
        first, dash, last = part.partition("-")
        try:
            begin = DAYS.index(first.capitalize())
            end = DAYS.index(last.capitalize()) if dash else begin
        except ValueError:
            raise ValueError(f"{text!r}: {part!r} is no day of {', '.join(DAYS)}") from None
        found |= {(begin + i) % 7 for i in range((end - begin) % 7 + 1)}
    return frozenset(found)


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name in the IANA database.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"timezone={name!r} is unknown; give one as Europe/Amsterdam or UTC, and install the "
            "package tzdata where the system has no time zones"
        ) from None


def local_time(unix_s: float, zone: ZoneInfo) -> datetime:
    """Return what clocks on the wall show at a Unix time."""
    return datetime.fromtimestamp(unix_s, UTC).astimezone(zone)
