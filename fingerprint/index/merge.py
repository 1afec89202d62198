"""Merging: the newest tracks into a segment file, and segment files into fewer.

A merge writes a new file beside the old ones and then swaps their names in the database, so
readers never wait for it, and a process killed in the middle leaves what was there before. It
runs on a thread of the process that adds, with its own view of the catalogue: sorting and
writing leave the interpreter to others, and tracks go on being added to memory meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import CatalogueError
from fingerprint.index.checks import MAX_LINE_FRAMES, segment_path
from fingerprint.index.database import Metadata
from fingerprint.index.index import Index
from fingerprint.index.segment_writer import write_merged

if TYPE_CHECKING:
    from pathlib import Path

    from fingerprint.index.segment import Segment

# Tracks in memory: this many are written to a file, in about a second.
RECENT_TRACKS = 32
# Where merging cannot keep up, adding waits from this many on: about 150 MB of memory.
MOST_RECENT = 16 * RECENT_TRACKS
# Segments of about one size are merged when there are this many, so a catalogue of n files'
# worth has at most about 8 log8(n) of them and every posting is rewritten log8(n) times.
FAN_IN = 8
# A segment is never made larger: rows are counted, and places told, in 32 bits, and the room
# that a merge takes on the disk has a bound. 1 700 hours of music, 6 GB.
MOST_POSTINGS = 2**30
# A segment with this share of removed tracks is written again without them.
_REMOVED = 0.25


def step(index: Index) -> bool:
    """Do the one merge that is most due; return whether there was any.

    Raises
    ------
    OSError, sqlite3.Error
        Where the disk refuses; the catalogue is as it was.
    """
    index.refresh()
    if len(index.recent.tracks) >= RECENT_TRACKS:
        _replace(index, [], recent=True)
        return True
    names = _crowded(index) or _holey(index)
    if names:
        _replace(index, names, recent=False)
    return bool(names)


def merge_all(index: Index) -> None:
    """Merge all into as few segments as may be, and drop what was removed or cannot be read."""
    index.refresh()
    live = set(index.metadata.numbers())
    removed = any(number not in live for number in index.numbers())
    if len(index.segments) > 1 or index.recent.tracks or removed or index.problems:
        recent = bool(index.recent.tracks)
        for number, names in enumerate(_groups(index)):
            _replace(index, names, recent=recent and number == 0)
        index.metadata.replace(index.lost, index.unreadable, [])
        for name in index.lost:
            # A name from outside the folder is forgotten, and its file left alone.
            with suppress(ValueError):
                segment_path(index.folder, name).unlink(missing_ok=True)
        index.load()
    index.metadata.compact()


class Background:
    """Merges what is due on a thread; one process has one, while it holds the writer's lock.

    Parameters
    ----------
    folder : Path
        The catalogue's folder.
    database : Path
        Its database.
    """

    def __init__(self, folder: Path, database: Path) -> None:
        self._folder = folder
        self._database = database
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    def nudge(self, recent: int) -> None:
        """Start, if there are enough new tracks; wait, if there are far too many."""
        if self._failed is not None or recent < RECENT_TRACKS:
            return
        if self._thread is not None and self._thread.is_alive():
            if recent < MOST_RECENT:
                return
            self._thread.join()
        self._thread = threading.Thread(target=self._work, name="merge")
        self._thread.start()

    def finish(self) -> None:
        """Wait for the thread.

        Raises
        ------
        CatalogueError
            If a merge failed. No track is lost by that.
        """
        if self._thread is not None:
            self._thread.join()
        failed, self._failed = self._failed, None
        if failed is not None:
            raise CatalogueError(
                f"{self._folder}: merging failed ({failed}); every track is safe and can be "
                "found, make room or check the disk, and run `airsift catalogue merge`"
            ) from failed

    def _work(self) -> None:
        try:
            metadata = Metadata(self._database)
            try:
                index = Index(self._folder, metadata)
                while step(index):
                    pass
            finally:
                metadata.close()
        except (OSError, sqlite3.Error, CatalogueError) as error:
            self._failed = error


def _replace(index: Index, names: list[str], *, recent: bool) -> None:
    """Write one segment in the place of some, and take their files away."""
    parts = [index.files[name] for name in names]
    tracks = list(index.recent.tracks) if recent else []
    if recent:
        parts.append(index.recent.segment())
    name = f"{uuid.uuid4().hex}.seg"
    write_merged(index.folder / name, parts, set(index.metadata.numbers()))
    index.metadata.replace(names, tracks, [name])
    index.load()
    for old in names:
        # Readers that have it open keep it until they look again.
        (index.folder / old).unlink(missing_ok=True)


def _crowded(index: Index) -> list[str]:
    """Return the segments of the smallest size of which there are enough to merge."""
    classes: dict[int, list[str]] = {}
    for name, segment in index.files.items():
        classes.setdefault(int(np.log2(max(segment.size, 1)) / np.log2(FAN_IN)), []).append(name)
    for size in sorted(classes):
        names = sorted(classes[size], key=lambda name: index.files[name].size)[:FAN_IN]
        if len(names) == FAN_IN and _fits([index.files[name] for name in names]):
            return names
    return []


def _holey(index: Index) -> list[str]:
    """Return a segment of which many tracks were removed, if there is one."""
    if not index.files:
        return []
    live = np.fromiter(index.metadata.numbers(), np.int64)
    for name, segment in index.files.items():
        if np.isin(segment.tracks, live).mean() < 1 - _REMOVED:
            return [name]
    return []


def _groups(index: Index) -> list[list[str]]:
    """Return the segments in as few groups as fit into one segment each."""
    groups: list[list[str]] = [[]]
    for name in sorted(index.files, key=lambda name: index.files[name].size):
        if not _fits([index.files[other] for other in (*groups[-1], name)]):
            groups.append([])
        groups[-1].append(name)
    return groups


def _fits(segments: list[Segment]) -> bool:
    size = sum(segment.size for segment in segments)
    return size <= MOST_POSTINGS and sum(segment.line for segment in segments) <= MAX_LINE_FRAMES
