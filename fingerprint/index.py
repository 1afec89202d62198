"""The index of a catalogue as one process has it open: segment files, and the newest tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint.building import Recent
from fingerprint.files import open_segment
from fingerprint.segment import MOST_POSTINGS, Segment, share_budget

if TYPE_CHECKING:
    from pathlib import Path

    from fingerprint.database import Metadata

FOLDER = "segments"


class Index:
    """What the database names, opened.

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
    problems : dict of str to str
        One line for each that could not.
    recent : Recent
        Tracks that no file holds yet.
    most : int
        Postings that one question may read, of all segments together.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder = folder / FOLDER
        self.metadata = metadata
        self.files: dict[str, Segment] = {}
        self.problems: dict[str, str] = {}
        self.recent = Recent()
        self.most = MOST_POSTINGS
        self._version = -1
        self.load()

    @property
    def segments(self) -> list[Segment]:
        """The segments to search, each told its part of the work."""
        recent = [self.recent.segment()] if self.recent.tracks else []
        segments = [*self.files.values(), *recent]
        share_budget(segments, self.most)
        return segments

    def refresh(self) -> bool:
        """See what others have changed; return whether there was anything."""
        if self.metadata.version() == self._version:
            return False
        self.load()
        return True

    def load(self) -> None:
        """Open what the database names; a merge in between is seen on another try."""
        for attempt in (1, 2, 3):
            self._version = self.metadata.version()
            names, new, follows = self.metadata.index(self.recent.tracks)
            known, self.files, self.problems = self.files, {}, {}
            for name in names:
                self._open(name, known.get(name))
            if not follows:  # some were removed, or are in a segment now
                self.recent = Recent()
            for peaks in new:
                self.recent.add(peaks.track, peaks.length, peaks.frame, peaks.bin)
            if not self.problems or self.metadata.version() == self._version or attempt == 3:
                return

    def numbers(self) -> set[int]:
        """Return the numbers of all tracks that can be searched, removed ones among them."""
        return {track for segment in self.segments for track in segment.tracks.tolist()}

    def _open(self, name: str, known: Segment | None) -> None:
        path = self.folder / name
        try:
            self.files[name] = known or open_segment(path)
        except CatalogueError as error:
            self.problems[name] = str(error)
        except FileNotFoundError:
            self.problems[name] = (
                f"{path}: a segment of the index is not there; put it back, or let `airsift "
                "catalogue merge` forget it and add its tracks again"
            )
        except OSError as error:
            self.problems[name] = (
                f"{path}: a segment of the index cannot be read ({error.strerror}); check its "
                "permissions and the disk"
            )
