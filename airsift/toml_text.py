"""TOML that anybody may have written: what cannot be read is one kind of error."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a text.

    Raises
    ------
    ValueError
        It is no TOML, is nested too deeply, or has an integer of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file in UTF-8; editors of Windows put a mark before its first line.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        As `parse_toml`; or it is no text in UTF-8.
    """
    return parse_toml(path.read_text(encoding="utf-8-sig"))
