"""Times as people write them, in their zone, with what daylight saving makes doubtful.

A moment is one of::

    now
    2 hours ago              also: 90 s ago, 1 hour 30 minutes ago, 3 days ago, 2 weeks ago
    15:04                    today; also 15:04:30, 3:04 pm, 3 pm
    yesterday 15:04          also: today, monday ... sunday (the last one before today)
    2026-11-29 15:04         also with T in between, and without a time: the day
    2026-11-29T15:04+01:00   or Z: in that zone
    @1795964640              Unix time in seconds

A day alone is its beginning; as the end of a range it is the end of that day. Days and weeks are
counted on the calendar: "1 day ago" is the same time of day yesterday.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from airsift.errors import ConfigError

FORMS = 'as "15:04", "yesterday 15:04", "2 hours ago", "2026-11-29 15:04" or "2026-11-29T15:04Z"'
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "seconds"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "minutes"),
    **dict.fromkeys(("h", "hour", "hours"), "hours"),
    **dict.fromkeys(("d", "day", "days"), "days"),
    **dict.fromkeys(("w", "week", "weeks"), "weeks"),
}
_AGO = re.compile(r"(?:\d{1,6}(?:\.\d{1,3})?\s*[a-z]+\s*)+\s+ago")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}(?:\.\d{1,6})?))?\s*(am|pm)?")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_UNIX = re.compile(r"@(\d{1,10}(?:\.\d{1,6})?)")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, and a remark where daylight saving left a choice, else ""."""

    unix_ms: int
    remark: str = ""


def zone_of(name: str | None) -> tzinfo | None:
    """Return a zone by its name, None for that of this machine.

    Raises
    ------
    ConfigError
        There is no such zone.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ConfigError(
            f"--tz {name}: no such zone; give a name as Europe/Berlin or UTC"
        ) from None


def read_moment(text: str, zone: tzinfo | None, *, is_end: bool = False) -> Moment:
    """Read a time as of now; the way of all commands.

    Parameters
    ----------
    text : str
        The time; see the module.
    zone : tzinfo, optional
        The zone that is meant; None for that of this machine, by its rules: its difference to UTC
        today is not that of half a year ago.
    is_end : bool
        Whether a day alone means its end.

    Raises
    ------
    ConfigError
        It is no time.
    """
    now = datetime.now(UTC).astimezone(zone)
    return moment_of(text, now.replace(tzinfo=None) if zone is None else now, is_end=is_end)


def moment_of(text: str, now: datetime, *, is_end: bool = False) -> Moment:
    """Read a time.

    Parameters
    ----------
    text : str
        The time; see the module.
    now : datetime
        The time now, in the zone that is meant; without one in that of this machine.
    is_end : bool
        Whether a day alone means its end.

    Raises
    ------
    ConfigError
        It is no time.
    """
    from stream.ranges import is_time_ms  # imports pydantic, which the help does without

    words = " ".join(text.lower().split())
    try:
        moment = _moment(words, text, now, is_end=is_end)
        if not is_time_ms(moment.unix_ms):
            raise ValueError(moment)
        return moment
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{text!r} is no time that is known here: write it {FORMS}") from None


def local(unix_ms: int, zone: tzinfo | None) -> datetime:
    """Return a time in a zone, with its difference to UTC."""
    found = datetime.fromtimestamp(unix_ms / 1000, zone)
    return found.astimezone() if zone is None else found


def _moment(words: str, text: str, now: datetime, *, is_end: bool) -> Moment:
    if words == "now":
        return _exact(now)
    if (unix := _UNIX.fullmatch(words)) is not None:
        return Moment(round(float(unix[1]) * 1000))
    if _AGO.fullmatch(words):
        return _ago(words, now)
    day, rest = _day_of(words, now.date())
    if day is not None and not rest:
        begin = day + timedelta(days=1) if is_end else day
        return _on_clock(datetime.combine(begin, time()), now.tzinfo)
    if (found := _TIME.fullmatch(rest)) is not None:
        clock = datetime.combine(day or now.date(), _time_of(found))
        return _on_clock(clock, now.tzinfo)
    stamp = datetime.fromisoformat(text.strip().upper())
    if stamp.tzinfo is None:
        return _on_clock(stamp, now.tzinfo)
    return _exact(stamp)


def _ago(words: str, now: datetime) -> Moment:
    elapsed, days = timedelta(), 0.0
    for number, unit in _PART.findall(words.removesuffix("ago")):
        name = _UNITS.get(unit)
        if name is None:
            raise ValueError(unit)
        if name in ("days", "weeks"):
            days += float(number) * (7 if name == "weeks" else 1)
        else:
            elapsed += timedelta(**{name: float(number)})
    if not days:
        return Moment(round((now.timestamp() - elapsed.total_seconds()) * 1000))
    if days != int(days):
        raise ValueError(days)
    clock = now.replace(tzinfo=None) - timedelta(days=days)
    found = _on_clock(clock, now.tzinfo)
    return Moment(found.unix_ms - round(elapsed.total_seconds() * 1000), found.remark)


def _day_of(words: str, today: date) -> tuple[date | None, str]:
    """Return the day that a text begins with, and the rest."""
    first, _, rest = words.partition(" ")
    if first in ("today", "yesterday"):
        return today - timedelta(days=first == "yesterday"), rest
    if first in _WEEKDAYS:
        back = (today.weekday() - _WEEKDAYS.index(first) - 1) % 7 + 1
        return today - timedelta(days=back), rest
    if (found := _DATE.match(words)) is not None:
        rest = words[found.end() :]
        if not rest or rest[0] in " t":
            return date(int(found[1]), int(found[2]), int(found[3])), rest[1:].strip()
    return None, words


def _time_of(found: re.Match[str]) -> time:
    hour, half = int(found[1]), found[4]
    if found[2] is None and (half is None or found[3] is not None):
        raise ValueError(hour)
    if half is not None:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if half == "pm" else 0)
    seconds = float(found[3] or 0)
    return time(hour, int(found[2] or 0), int(seconds), round(seconds % 1 * 1e6))


def _exact(stamp: datetime) -> Moment:
    return Moment(round(stamp.timestamp() * 1000))


def _on_clock(clock: datetime, zone: tzinfo | None) -> Moment:
    """Return when clocks of a zone show a time: twice or never where they are changed."""
    first, second = (clock.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    chosen = round(first * 1000)
    if first == second:
        return Moment(chosen)
    shown = local(chosen, zone)
    if first > second:  # the clocks jump over it
        return Moment(
            chosen,
            f"{clock:%Y-%m-%d %H:%M} does not exist, clocks are set forward: "
            f"{shown:%H:%M%z} is meant",
        )
    other = local(round(second * 1000), zone)
    return Moment(
        chosen,
        f"{clock:%Y-%m-%d %H:%M} comes twice, clocks are set back: the first is meant, "
        f"{shown:%H:%M%z}; write {other:%Y-%m-%dT%H:%M%z} for the second",
    )
