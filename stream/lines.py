"""Text in one line that no terminal obeys, for people and machines: names come from anywhere."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

# What terminals obey, what ends a line for some programs, and what turns the rest of one around.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_JOINERS = "\u200c\u200d"  # Persian, the scripts of India and emoji need them


def one_line(text: str) -> str:
    """Return a text as people may read it.

    Control codes and what is no character become U+FFFD; what is invisible is left out.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Cf":
        return char if char in _JOINERS else ""
    unknown = kind in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
    return "\N{REPLACEMENT CHARACTER}" if unknown else char


def to_json(value: Any) -> str:
    """Return a value as one line of JSON that no terminal obeys; it reads back as it was.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_cell(value: Any) -> Any:
    """Return a value for a table in CSV, one row a line: there control codes cannot be escaped."""
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value
