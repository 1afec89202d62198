"""Events that come as JSON, as on Kafka's topics: what one must say to become a row.

Anybody who may write to a topic may write anything, and a row is read for years. So the fields
that are asked about are checked before a message becomes a row. Fields that later versions add are
stored as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn, cast

from stream.history.rows import row_of_fields
from stream.ranges import MAX_RATE, is_time

if TYPE_CHECKING:
    from airsift.json_types import Json, JsonObject
    from stream.history.rows import Row

_SCHEMA = re.compile(r"airsift\.([a-z][a-z0-9_]{0,39})/1")
_RATE = 16_000  # of every model so far; a message does not say it
_COMMON_RATES = (8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MAX_SAMPLE = 2**60
_MAX_TEXT = 10_000  # characters of a station's name and of an id
_MAX_S = 366 * 86_400.0  # every query for a station looks this far back for its longest event

# What the versions 1 of the kinds have said from the beginning, besides what all events have.
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "decision": {"p_speech": (int, float), "p_music": (int, float)},
    "segment": {"label": str, "score": (int, float), "final": bool},
    "label": {"label": str, "score": (int, float), "final": bool},
    "match": {
        "track": str, "title": str, "artist": str, "score": (int, float), "final": bool,
        "track_start_s": (int, float),
    },
    "share": {"track": str, "title": str, "artist": str, "score": (int, float)},
    "repeat": {"cluster": str, "count": int, "guess": str, "title": str},
    "level": {"level_dbfs": (int, float), "true_peak_dbtp": (int, float)},
    "gap": {"reason": str},
    "alarm": {"rule": str, "severity": str, "final": bool, "text": str},
}  # fmt: skip
_TYPES = {str: "a text", int: "an integer", bool: "true or false", (int, float): "a number"}


def row_of_message(value: bytes | None, kinds: Collection[str]) -> Row | None:
    """Return the row of a message.

    Parameters
    ----------
    value : bytes or None
        The message: an event as `Event.to_bytes` writes it.
    kinds : collection of str
        The kinds that are stored.

    Returns
    -------
    Row or None
        None for an event of another kind.

    Raises
    ------
    ValueError
        It is no event; what is wrong with it.
    """
    try:
        fields = json.loads(value or b"", parse_constant=_refuse)
        return _row(fields, kinds)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except OverflowError:
        raise ValueError("a number is too large") from None


def _row(fields: Json, kinds: Collection[str]) -> Row | None:
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    schema = _SCHEMA.fullmatch(_text(fields, "schema"))
    if schema is None:
        raise ValueError(f"schema {_text(fields, 'schema')[:60]!r} is not airsift.KIND/1")
    kind = schema[1]
    if kind not in kinds:
        return None
    for name in ("id", "station"):
        _text(fields, name)
    start, end = (_integer(fields, name) for name in ("start_sample", "end_sample"))
    if start > end:
        raise ValueError(f"start_sample {start} is behind end_sample {end}")
    rate = _rate_of(fields, start, end)
    _check_time(fields, (end - start) / rate)
    for name, types in _FIELDS.get(kind, {}).items():
        found = fields.get(name)
        is_flag = isinstance(found, bool)
        if not isinstance(found, types) or (is_flag and types is not bool):
            raise ValueError(f"{name} is not {_TYPES[types]}")
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError(f"{name} is too large")
    return row_of_fields(fields, kind, rate)


def _text(fields: JsonObject, name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise ValueError(f"{name} is not a text of up to {_MAX_TEXT} characters")
    return text


def _integer(fields: JsonObject, name: str) -> int:
    number = fields.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MAX_SAMPLE:
        raise ValueError(f"{name} is not an integer from 0 to 2^60")
    return number


def _rate_of(fields: JsonObject, start: int, end: int) -> int:
    """Return the samples per second by which the two samples are the two seconds."""
    found = [fields.get(name) for name in ("start_s", "end_s")]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in found):
        raise ValueError("start_s and end_s are not numbers")
    seconds = cast("list[float]", found)
    # Seconds are rounded to milliseconds: of a short event they tell no rate; common ones follow.
    near = [round(n / s) for n, s in zip((start, end), seconds, strict=True) if 0 < s < math.inf]
    guesses = [_RATE, *near, *_COMMON_RATES]
    for rate in guesses:
        if 0 < rate <= MAX_RATE and [round(each / rate, 3) for each in (start, end)] == seconds:
            return rate
    raise ValueError("start_s and end_s do not belong to start_sample and end_sample")


def _check_time(fields: JsonObject, length_s: float) -> None:
    if length_s > _MAX_S:
        raise ValueError(f"it lasts {length_s:.0f} s, longer than a year")
    if "time" not in fields:
        raise ValueError("time is missing; it is null where it is unknown")
    time = fields["time"]
    if time is None:
        return
    try:
        stamp = datetime.fromisoformat(_text(fields, "time"))
    except ValueError:
        stamp = None
    if stamp is None or stamp.tzinfo is None:
        raise ValueError("time is not one of ISO 8601 with its zone, or null")
    if not (is_time(stamp.timestamp()) and is_time(stamp.timestamp() + length_s)):
        raise ValueError("time is not between 1970 and 2199")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
