"""How times, names and songs are written for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stream.ranges import is_time

if TYPE_CHECKING:
    from stream.events import Event


def begin_of(event: Event) -> str:
    """Return when an event begins: date and time in UTC, or the position in its stream."""
    return _when(event, 0.0) or clock(event.start / event.rate)


def end_of(event: Event) -> str:
    """Return when an event ends: the time of day in UTC, or the position in its stream."""
    length_s = (event.end - event.start) / event.rate
    return _when(event, length_s)[11:] or clock(event.end / event.rate)


def utc(time: float) -> str:
    """Return a Unix time as ``2026-09-21 14:13:20Z``."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%SZ}"


def _when(event: Event, after_s: float) -> str:
    if event.time is None or not (is_time(event.time) and is_time(event.time + after_s)):
        return ""
    return utc(event.time + after_s)


def clock(seconds: float) -> str:
    """Return a position in a stream: ``02:10.5``, or ``1:02:10.5`` from an hour on."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{tenths // 10:02}.{tenths % 10}"
    return f"{hours}:{text}" if hours else text


def one_line(text: str) -> str:
    """Return a name as one line without control codes: it may come from anywhere."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def song(artist: str, title: str, track: str = "") -> str:
    """Return artist and title, or what is known of them: without a title, the track's key."""
    return one_line(" - ".join(part for part in (artist, title or track) if part))
