"""Reading events of any origin: a topic may hold anything, and nothing of it may end us."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stream.lines import one_line, utf8

if TYPE_CHECKING:
    from airsift.json_types import JsonObject

MAX_TEXT = 500  # characters of a name or title that are shown
_FAR_MS = 2**53  # JavaScript's last whole number


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as far as all kinds are alike.

    Parameters
    ----------
    kind, station : str
        Of the event.
    start_ms, end_ms : int
        Unix times in milliseconds, or positions in the stream where it knows no time.
    fields : mapping
        Its JSON.
    """

    kind: str
    station: str
    start_ms: int
    end_ms: int
    fields: Mapping[str, Any]


def read_event(event: JsonObject) -> Seen:
    """Read an event's JSON.

    Raises
    ------
    ValueError
        It is no event of airsift's.
    """
    schema, name, time = event.get("schema"), event.get("station"), event.get("time")
    if not isinstance(schema, str) or not isinstance(name, str) or not name:
        raise ValueError("an event has a schema and a station")
    start_s, end_s = number(event.get("start_s")), number(event.get("end_s"))
    if start_s is None or end_s is None:
        raise ValueError("an event has start_s and end_s")
    length_ms = round(max(end_s - start_s, 0.0) * 1000)
    start_ms = round(start_s * 1000)
    if isinstance(time, str):
        start_ms = round(datetime.fromisoformat(time).timestamp() * 1000)
    if abs(start_ms) > _FAR_MS or length_ms > _FAR_MS:
        raise ValueError("an event is at a time that there is")
    kind = schema.partition("/")[0].removeprefix("airsift.")
    return Seen(kind, utf8(name[:MAX_TEXT]), start_ms, start_ms + length_ms, event)


def number(value: object) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def whole(value: object) -> int | None:
    """Return a sample, or None for anything else."""
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**60
    return value if is_one and isinstance(value, int) else None


def text(value: object) -> str:
    """Return a text in one line and of bounded length, "" for anything else."""
    return utf8(one_line(value[:MAX_TEXT])) if isinstance(value, str) else ""
