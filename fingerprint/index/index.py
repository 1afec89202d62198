"""The index of a catalogue, opened: segment files, and the newest tracks in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint.index.builder import MemSegment
from fingerprint.index.checks import segment_path
from fingerprint.index.lookup import MAX_QUERY_POSTINGS
from fingerprint.index.segment import Segment
from fingerprint.index.segment_file import open_segment

if TYPE_CHECKING:
    from pathlib import Path

    from fingerprint.index.database import Metadata

FOLDER = "segments"


class Index:
    """The segments that the database names, opened.

    Parameters
    ----------
    folder : Path
        The catalogue's folder.
    metadata : Metadata
        Its database.

    Attributes
    ----------
    files : dict of str to Segment
        The segment files that could be opened, by name.
    problems : list of str
        One line for each that could not, and for each new track whose peaks are damaged.
    lost : list
        The names, of any type, of the segments that could not be opened.
    unreadable : list of int
        Numbers of the new tracks whose peaks are damaged.
    memory : MemSegment
        Tracks that are in no file yet.
    max_query_postings : int
        Postings that one query may read, in all segments together.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder = folder / FOLDER
        self.metadata = metadata
        self.files: dict[str, Segment] = {}
        self.problems: list[str] = []
        self.lost: list[object] = []
        self.unreadable: list[int] = []
        self.memory = MemSegment()
        self.max_query_postings = MAX_QUERY_POSTINGS
        self._version = -1
        self.load()

    @property
    def segments(self) -> list[Segment]:
        """The segments to search."""
        memory = [self.memory.segment()] if self.memory.tracks else []
        return [*self.files.values(), *memory]

    def refresh(self) -> bool:
        """Load changes by other processes; return whether there were any."""
        if self.metadata.version() == self._version:
            return False
        self.load()
        return True

    def load(self) -> None:
        """Open what the database names; retry if a merge happens meanwhile."""
        for attempt in (1, 2, 3):
            self._version = self.metadata.version()
            names, new, damaged, follows = self.metadata.index(self.memory.tracks)
            known = dict[object, Segment](self.files.items())
            self.files, self.problems, self.lost = {}, [], []
            for name in names:
                self._open(name, known.get(name))
            self.unreadable = list(damaged)
            self.problems += [
                f"{self.folder.parent}: the peaks of track {number} are damaged ({reason}); let "
                "`airsift catalogue merge` forget them and add its file again"
                for number, reason in damaged.items()
            ]
            if not follows:  # some were removed, or moved to a segment file
                self.memory = MemSegment()
            for peaks in new:
                self.memory.add(peaks.track, peaks.length, peaks.frame, peaks.bin)
            if not self.problems or self.metadata.version() == self._version or attempt == 3:
                return

    def numbers(self) -> set[int]:
        """Return the numbers of all searchable tracks, including removed ones."""
        return {track for segment in self.segments for track in segment.tracks.tolist()}

    def _open(self, name: object, known: Segment | None) -> None:
        try:
            path = segment_path(self.folder, name)
            self.files[path.name] = known or open_segment(path)
        except (ValueError, CatalogueError, OSError) as error:
            self.lost.append(name)
            self.problems.append(self._why_not(name, error))

    def _why_not(self, name: object, error: Exception) -> str:
        if isinstance(error, CatalogueError):
            return str(error)
        if isinstance(error, ValueError):
            return (
                f"{self.folder.parent}: the database names a segment that cannot be ({error}); "
                "`airsift catalogue merge` forgets it"
            )
        if isinstance(error, FileNotFoundError):
            return (
                f"{self.folder}/{name}: a segment of the index is not there; put it back, or let "
                "`airsift catalogue merge` forget it and add its tracks again"
            )
        reason = error.strerror if isinstance(error, OSError) else error
        return (
            f"{self.folder}/{name}: a segment of the index cannot be read ({reason}); check its "
            "permissions and the disk"
        )
