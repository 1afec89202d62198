"""The sound around an alarm: from half its length before the alarm opened to half after.

Of a station that is gone it is the last that was heard; one that is missing has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.clips.recorder import folder_of
from stream.events import Alarm

if TYPE_CHECKING:
    from pathlib import Path

    from stream.events import Event


class AlarmClips:
    """What `ClipRecorder` keeps of alarms."""

    name = "alarm"

    def span(self, event: Event, length: int) -> tuple[int, int] | None:
        """Return the samples of the clip that an event asks for, if it does."""
        if not isinstance(event, Alarm) or event.final or event.escalated:
            return None
        if event.rule == "missing":
            return None
        start = event.start - length if event.rule == "gone" else event.end - length // 2
        return start, start + length

    def path(self, folder: Path, event: Event) -> Path:
        """Return the file of an event's clip."""
        assert isinstance(event, Alarm)
        return clip_of(folder, event)


def clip_of(folder: Path, alarm: Alarm) -> Path:
    """Return the file of an alarm's clip."""
    return folder_of(folder, alarm.station) / f"{alarm.rule}-{alarm.start}.wav"
