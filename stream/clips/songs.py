"""The proof of a song: what was heard when it was found.

A clip is the last seconds of a match when it is first published: of the audio in which the matcher
has found the track, and nothing from before it. So it is known at once, and no song has to be held
in memory until it is over.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from stream.clips.recorder import folder_of
from stream.events import Match

if TYPE_CHECKING:
    from pathlib import Path

    from stream.events import Event


class SongClips:
    """What `ClipRecorder` keeps of songs."""

    name = "song"

    def __init__(self) -> None:
        self._open: set[str] = set()  # ids of matches that have their clip

    def span(self, event: Event, length: int) -> tuple[int, int] | None:
        """Return the samples of the clip that an event asks for, if it does."""
        if not isinstance(event, Match):
            return None
        is_new = event.id not in self._open
        if event.final:
            self._open.discard(event.id)
        else:
            self._open.add(event.id)
        return (max(event.start, event.end - length), event.end) if is_new else None

    def path(self, folder: Path, event: Event) -> Path:
        """Return the file of an event's clip."""
        assert isinstance(event, Match)
        return song_clip_of(folder, event.station, event.start, event.track)


def song_clip_of(folder: Path, station: str, start: int, track: str) -> Path:
    """Return the file of a match's clip. A track's key, which may be any text, is hashed.

    Parameters
    ----------
    folder : Path
        `identify.clips.folder`.
    station, track : str
        The station, and the key of the track.
    start : int >= 0
        The match's first sample, as in its event.
    """
    key = hashlib.sha256(track.encode("utf-8", "replace")).hexdigest()[:8]
    return folder_of(folder, station) / f"song-{start}-{key}.wav"
