"""Where the sound of what is reported is kept, how much of it, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from airsift.defaults import Section


class ClipSettings(Section, table="alarms.clips"):
    """The sound around alarms, as files."""

    folder: str
    seconds: Annotated[float, Field(gt=0, le=120)]
    keep_days: Annotated[float, Field(ge=0, le=100_000)]


class SongClipSettings(ClipSettings, table="identify.clips"):
    """The sound of songs, as files."""
