"""Merging: the newest tracks are flushed to a segment file, and segment files merged into fewer.

A merge writes a new file beside the old ones and then swaps their names in the database, so
readers never wait for it, and a process killed in the middle leaves the catalogue as it was. It
runs on a thread of the process that adds, with its own view of the catalogue: sorting and writing
release the interpreter, and tracks continue to be added to memory meanwhile.
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
from fingerprint.index.segment_file import write_merged

if TYPE_CHECKING:
    from pathlib import Path

    from fingerprint.index.segment import Segment

# Tracks in memory at which they are flushed to a file, in about a second.
FLUSH_TRACKS = 32
# Tracks in memory at which adding waits for the merge thread: about 150 MB.
MAX_MEMORY_TRACKS = 16 * FLUSH_TRACKS
# Segments of one size tier that are merged together. A catalogue of n flushes has at most about
# 8 log8(n) segments, and every posting is rewritten log8(n) times.
FAN_IN = 8
# Maximum size of a segment: rows and places are 32-bit numbers, and the disk space for a merge must
# have a bound. 1 700 hours of music, 6 GB.
MAX_SEGMENT_POSTINGS = 2**30
# A segment with this share of removed tracks is rewritten without them.
_MAX_TOMBSTONES = 0.25


def step(index: Index) -> bool:
    """Do the most urgent merge; return whether there was one.

    Raises
    ------
    OSError, sqlite3.Error
        The disk refuses; the catalogue is unchanged.
    """
    index.refresh()
    if len(index.memory.tracks) >= FLUSH_TRACKS:
        _replace(index, [], flush=True)
        return True
    names = _full_size_tier(index) or _with_tombstones(index)
    if names:
        _replace(index, names, flush=False)
    return bool(names)


def merge_all(index: Index) -> None:
    """Merge all segments into as few as possible, without removed and unreadable tracks."""
    index.refresh()
    live = set(index.metadata.numbers())
    removed = any(number not in live for number in index.numbers())
    if len(index.segments) > 1 or index.memory.tracks or removed or index.problems:
        flush = bool(index.memory.tracks)
        for number, names in enumerate(_groups(index)):
            _replace(index, names, flush=flush and number == 0)
        index.metadata.replace(index.lost, index.unreadable, [])
        for name in index.lost:
            # The file of a name that leads outside the folder is left alone.
            with suppress(ValueError):
                segment_path(index.folder, name).unlink(missing_ok=True)
        index.load()
    index.metadata.compact()


class Background:
    """Runs due merges on a thread, while the process holds the writer's lock.

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

    def notify(self, tracks: int) -> None:
        """Start a merge when enough `tracks` are in memory; wait for it when too many are."""
        if self._failed is not None or tracks < FLUSH_TRACKS:
            return
        if self._thread is not None and self._thread.is_alive():
            if tracks < MAX_MEMORY_TRACKS:
                return
            self._thread.join()
        self._thread = threading.Thread(target=self._work, name="merge")
        self._thread.start()

    def finish(self) -> None:
        """Wait for the thread.

        Raises
        ------
        CatalogueError
            If a merge failed; no track is lost.
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


def _replace(index: Index, names: list[str], *, flush: bool) -> None:
    """Replace segment files, and with `flush` the tracks in memory, by one new segment file."""
    parts = [index.files[name] for name in names]
    tracks = list(index.memory.tracks) if flush else []
    if flush:
        parts.append(index.memory.segment())
    name = f"{uuid.uuid4().hex}.seg"
    write_merged(index.folder / name, parts, set(index.metadata.numbers()))
    index.metadata.replace(names, tracks, [name])
    index.load()
    for old in names:
        # Readers that have it open keep it until they refresh.
        (index.folder / old).unlink(missing_ok=True)


def _full_size_tier(index: Index) -> list[str]:
    """Return the segments of the smallest size tier that has enough of them to merge."""
    tiers: dict[int, list[str]] = {}
    for name, segment in index.files.items():
        tiers.setdefault(int(np.log2(max(segment.size, 1)) / np.log2(FAN_IN)), []).append(name)
    for tier in sorted(tiers):
        names = sorted(tiers[tier], key=lambda name: index.files[name].size)[:FAN_IN]
        if len(names) == FAN_IN and _fits([index.files[name] for name in names]):
            return names
    return []


def _with_tombstones(index: Index) -> list[str]:
    """Return a segment with many removed tracks, if there is one."""
    if not index.files:
        return []
    live = np.fromiter(index.metadata.numbers(), np.int64)
    for name, segment in index.files.items():
        if np.isin(segment.tracks, live).mean() < 1 - _MAX_TOMBSTONES:
            return [name]
    return []


def _groups(index: Index) -> list[list[str]]:
    """Return the segments in as few groups as possible, each of which fits into one segment."""
    groups: list[list[str]] = [[]]
    for name in sorted(index.files, key=lambda name: index.files[name].size):
        if not _fits([index.files[other] for other in (*groups[-1], name)]):
            groups.append([])
        groups[-1].append(name)
    return groups


def _fits(segments: list[Segment]) -> bool:
    size = sum(segment.size for segment in segments)
    return (
        size <= MAX_SEGMENT_POSTINGS
        and sum(segment.line for segment in segments) <= MAX_LINE_FRAMES
    )
