"""Times, names and songs as text for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stream.levels.faults import faults_of
from stream.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.events import Event


# Terminals differ in the width of these, so they are not drawn in place.
_UNSURE = re.compile("[\u200c\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")
_FLAG_LETTER = 0x1F1E6  # A of the letters that form flags in pairs; drawn as plain letters


def begin_of(event: Event) -> str:
    """Return the begin of an event: date and time in UTC, or the position in its stream."""
    return _when(event, 0.0) or clock(event.start / event.rate)


def end_of(event: Event) -> str:
    """Return the end of an event: the time of day in UTC, or the position in its stream."""
    length_s = (event.end - event.start) / event.rate
    return _when(event, length_s)[11:] or clock(event.end / event.rate)


def utc(time: float) -> str:
    """Return a Unix time as ``2026-09-21 14:13:20Z``."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%SZ}"


def _when(event: Event, after_s: float) -> str:
    from stream.ranges import is_time  # imports pydantic, which the help does without

    if event.time is None or not (is_time(event.time) and is_time(event.time + after_s)):
        return ""
    return utc(event.time + after_s)


def clock(seconds: float, *, tenths: bool = True) -> str:
    """Return a position or a length: ``02:10.5``, or ``1:02:10.5`` from an hour on."""
    whole, tenth = divmod(round(max(seconds, 0.0) * 10), 10) if tenths else (round(seconds), 0)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{whole:02}" + (f".{tenth}" if tenths else "")
    return f"{hours}:{text}" if hours else text


def in_cells(text: str) -> str:
    """Return a text as one line of known width in a terminal, for drawing in place."""
    plain = _UNSURE.sub("", one_line(text))
    return "".join(
        chr(ord(char) - _FLAG_LETTER + ord("A")) if 0 <= ord(char) - _FLAG_LETTER < 26 else char
        for char in plain
    )


def width_of(text: str) -> int:
    """Return the width of a line, in columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int) -> str:
    """Return a line padded with spaces to a width in columns of a terminal."""
    return text + " " * (width - width_of(text))


def shortened(text: str, width: int, *, middle: bool = False) -> str:
    """Return a line of at most `width` columns, with an ellipsis for its end or middle."""
    if width_of(text) <= width:
        return text
    if width < 1:
        return ""
    rest = (width - 1) // 2 if middle else 0
    return f"{_fitting(text, width - 1 - rest).rstrip()}…{_fitting(text, rest, from_end=True)}"


def wrapped(text: str, width: int, max_lines: int) -> list[str]:
    """Return a line as up to `max_lines` lines of at most `width` columns."""
    lines: list[str] = []
    while text and len(lines) < max_lines - 1 and width_of(text) > width:
        line = _fitting(text, width)
        words = line.rpartition(" ")[0]
        line = words if words.strip() and text[len(line)] != " " else line
        lines.append(line.rstrip())
        text = text[len(line) :].lstrip()
    return [*lines, shortened(text, width)]


def _fitting(text: str, width: int, *, from_end: bool = False) -> str:
    """Return the longest prefix, or suffix, of at most `width` columns."""
    taken = 0
    chars = text[::-1] if from_end else text
    while taken < len(chars) and width_of(chars[: taken + 1]) <= width:
        taken += 1
    return text[len(text) - taken :] if from_end else text[:taken]


def kind_of(fields: Mapping[str, Any]) -> str:
    """Return the kind of an event from its JSON, as ``segment``."""
    return str(fields["schema"]).partition("/")[0].removeprefix("airsift.")


def said_by(fields: Mapping[str, Any]) -> str:
    """Return what an event says, but its station and its time, from its JSON.

    Parameters
    ----------
    fields : mapping
        Of an event of any kind; an open one ends with an ellipsis.

    Raises
    ------
    KeyError, TypeError, ValueError
        It has not the fields of its kind.
    """
    more = "" if fields.get("final", True) else " ..."
    match kind_of(fields):
        case "segment" | "label":
            return f"{fields['label']} {fields['score']:.2f}{more}"
        case "match":
            return f"{song(fields['artist'], fields['title'])} (score {fields['score']:g}){more}"
        case "share":
            what = song(fields["artist"], fields["title"])
            return f"a loop of {what} (score {fields['score']:g})"
        case "repeat":
            what = fields["title"] or fields["guess"]
            return f"{what} ({fields['count']} times, {fields['cluster']})"
        case "level":
            return level(fields)
        case "alarm":
            return alarm(fields)
        case "decision":
            return f"speech {fields['p_speech']:.2f}  music {fields['p_music']:.2f}{more}"
    return str(fields.get("reason", ""))


def alarm(event: Mapping[str, Any]) -> str:
    """Return what an alarm says, from the JSON of its event."""
    if event["final"]:
        state = "over" if event["reason"] == "over" else f"over: {event['reason']}"
    else:
        state = str(event["severity"])
    return one_line(f"{event['rule']}: {event['text']} ({state})")


def level(fields: Mapping[str, Any]) -> str:
    """Return what a level says: loudness, true peak, and what is wrong.

    Parameters
    ----------
    fields : mapping
        Of an event ``airsift.level/1``, as in its JSON.
    """
    loudness = fields["momentary_lufs"]
    shown = f"{fields['level_dbfs']:.1f} dBFS" if loudness is None else f"{loudness:.1f} LUFS"
    parts = [f"{shown}, peak {fields['true_peak_dbtp']:.1f} dBTP", faults(fields)]
    return "  ".join(filter(None, parts))


def faults(fields: Mapping[str, Any]) -> str:
    """Return what is wrong by a level, see :func:`level`; empty where nothing is."""
    found = faults_of(fields)
    parts = [f"channel {number} dead" for number in fields["dead_channels"]]
    parts += [name.replace("_", " ") for name in found if name != "dead_channel"]
    return one_line(", ".join(parts))


def song(artist: str, title: str, track: str = "") -> str:
    """Return artist and title as far as known; the track's key without a title."""
    return one_line(" - ".join(part for part in (artist, title or track) if part))
