"""Reports for royalties: the file, and what it needs and no history knows.

The latter is asked for as ``--field NAME=VALUE``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airsift.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Field:
    """A value that is asked for.

    Parameters
    ----------
    what : str
        What it is, for people.
    pattern : str
        What it must match as a whole.
    default : str or None
        Its value where none is given; None if one must be given.
    """

    what: str
    pattern: str = r"[^\x00-\x1f]{1,255}"
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file to be sent, the name that its format wants, and what is to be said of it."""

    data: bytes
    name: str
    remarks: tuple[str, ...]


def read_fields(
    given: Iterable[str], known: Mapping[str, Field], format_name: str
) -> dict[str, str]:
    """Return a value for each field that a format knows.

    Raises
    ------
    ConfigError
        A field is unknown, missing or of another form. All that are missing are named.
    """
    values = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or name not in known:
            raise ConfigError(
                f"--field {text}: --format {format_name} has {', '.join(known)}; write NAME=VALUE"
            )
        if not re.fullmatch(known[name].pattern, value.strip()):
            raise ConfigError(f"--field {text}: must be {known[name].what}")
        values[name] = value.strip()
    missing = [
        name for name, field in known.items() if field.default is None and name not in values
    ]
    if missing:
        asked = ", ".join(f"--field {name}=... ({known[name].what})" for name in missing)
        raise ConfigError(f"--format {format_name} needs {asked}")
    return {name: values.get(name, field.default or "") for name, field in known.items()}


def isrc_of(text: str | None) -> str:
    """Return an ISRC in its 12 characters, "" where a text is none."""
    plain = re.sub(r"[\s-]", "", text or "").upper()
    return plain if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}", plain) else ""
