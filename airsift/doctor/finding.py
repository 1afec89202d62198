"""What a check finds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from airsift.json_types import Json, JsonObject


class Status(enum.StrEnum):
    """Whether something is as it has to be."""

    ok = "ok"
    warning = "warning"
    """It works, with less than it could, or for now."""
    problem = "problem"
    """Something that is installed or configured does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the result.

    Parameters
    ----------
    check : str
        What was looked at, in a word or two.
    status : Status
        Whether it is as it has to be.
    text : str
        What it is.
    way_out : str
        What to do about it; empty if there is nothing to do.
    details : mapping of str to JSON
        More for machines and ``--verbose``, such as versions.
    """

    check: str
    status: Status
    text: str
    way_out: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)

    def to_dict(self) -> JsonObject:
        """Return it as an object of JSON."""
        return {
            "check": self.check,
            "status": self.status.value,
            "text": self.text,
            "way_out": self.way_out,
            "details": dict(self.details),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Finding:
        """Return what `to_dict` gave as an object.

        Raises
        ------
        KeyError, TypeError, ValueError
            These are not its values.
        """
        details = values["details"]
        if not isinstance(details, Mapping):
            raise TypeError(f"details={details!r} must be an object")
        return cls(
            str(values["check"]),
            Status(str(values["status"])),
            str(values["text"]),
            str(values["way_out"]),
            details,
        )


def ok(check: str, text: str, **details: Json) -> Finding:
    """Return that something is as it has to be."""
    return Finding(check, Status.ok, text, details=details)


def warning(check: str, text: str, way_out: str, **details: Json) -> Finding:
    """Return that something works with less than it could."""
    return Finding(check, Status.warning, text, way_out, details)


def problem(check: str, text: str, way_out: str, **details: Json) -> Finding:
    """Return that something does not work."""
    return Finding(check, Status.problem, text, way_out, details)
