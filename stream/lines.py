"""Safe text in one line, for people and machines: names and titles come from anywhere."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic_core import to_json as json_bytes

if TYPE_CHECKING:
    from pydantic import BaseModel

    from airsift.json_types import Json

# Control codes of terminals, characters that end a line, and those that reverse its direction.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# What a spreadsheet takes for a formula, also in the wide forms of East Asian keyboards.
_COMPUTED = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_JOINERS = "\u200c\u200d"  # Persian, the scripts of India and emoji need them


def one_line(text: str) -> str:
    """Return a text without control codes, in one line.

    Control codes and unassigned characters become U+FFFD; invisible ones are removed.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Cf":
        return char if char in _JOINERS else ""
    unknown = kind in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
    return "\N{REPLACEMENT CHARACTER}" if unknown else char


def to_json(value: Json) -> str:
    """Return a value as one line of JSON with control codes escaped.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_json_bytes(value: Json | BaseModel) -> bytes:
    """Return a value as one line of JSON in UTF-8 with control codes escaped, fast.

    Unlike `to_json`, it puts no spaces between the parts. A model must have the configuration
    ``ser_json_inf_nan="constants"``, or numbers that are not finite are not found.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    data = json_bytes(value, inf_nan_mode="constants")
    if b"NaN" in data or b"Infinity" in data:
        json.loads(data, parse_constant=_refuse)  # mostly it is a part of a text
    if data.isascii() and b"\x7f" not in data:
        return data
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", data.decode()).encode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def to_cell(value: Json) -> Json:
    """Return a value for a cell of a CSV table, where control codes cannot be escaped.

    A text that a spreadsheet would compute gets an apostrophe in front, by which spreadsheets know
    that it is a text.
    """
    if not isinstance(value, str):
        return value
    text = without_codes(value)
    return f"'{text}" if _COMPUTED.match(text) else text


def without_codes(text: str) -> str:
    """Return a text with U+FFFD for control codes of terminals."""
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text)


def utf8(text: str) -> str:
    """Return text without lone surrogates, such as bytes of a file's name; each becomes ``?``."""
    return text.encode("utf-8", "replace").decode()


def iso_time(unix_s: float, timespec: str = "milliseconds") -> str:
    """Return a Unix time in ISO 8601, as ``2026-09-21T14:13:20.000Z``."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
