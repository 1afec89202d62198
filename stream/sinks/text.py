"""How times, names and songs are written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


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
