"""The `[database]` section of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from airsift.defaults import Section

Kind = Literal["decision", "segment", "label", "match", "share", "repeat", "level", "gap", "alarm"]
_Days = Annotated[float, Field(ge=0, le=100_000)]


class KeepDays(Section, table="database.keep_days"):
    """How long events are kept, by kind; 0: for ever."""

    decision: _Days
    segment: _Days
    label: _Days
    match: _Days
    share: _Days
    repeat: _Days
    level: _Days
    gap: _Days
    alarm: _Days

    def by_kind(self) -> dict[str, float]:
        """Return the days of each kind that is not kept for ever."""
        return {kind: days for kind, days in self.model_dump().items() if days}


class DatabaseSettings(Section, table="database"):
    """The history: where it is, what is stored and for how long."""

    url: SecretStr  # it may contain a password
    password_file: str
    kinds: Annotated[list[Kind], Field(min_length=1)]
    connect_timeout_s: Annotated[float, Field(gt=0, le=600)]
    flush_timeout_s: Annotated[float, Field(gt=0, le=600)]
    spool_folder: str
    spool_mb: Annotated[int, Field(ge=0)]
    keep_days: KeepDays
