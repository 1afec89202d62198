"""Writing to a catalogue: one process at a time, every change atomic.

A file of the folder that the database does not name is a leftover of a killed process; the next
writer deletes it.
"""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint import settings
from fingerprint.analysis import hashes
from fingerprint.index import merge
from fingerprint.index.checks import check_track

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.index.database import Metadata
    from fingerprint.index.index import Index
    from fingerprint.track import Track

_LOCK = "writer.lock"


def lock_file(folder: Path) -> Path:
    """Return the file that the writing process of a catalogue locks."""
    return folder / _LOCK


class Writer:
    """Changes a catalogue; call every other method inside :meth:`locked`.

    Parameters
    ----------
    folder, database : Path
        The catalogue's folder, and its database's file.
    metadata : Metadata
        The database, opened.
    index : Index
        The index, opened.
    """

    def __init__(self, folder: Path, database: Path, metadata: Metadata, index: Index) -> None:
        self._folder = folder
        self._metadata = metadata
        self._index = index
        self._background = merge.Background(folder, database)
        self._locked = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the writer's lock; reentrant.

        Raises
        ------
        CatalogueError
            If another process is writing, or the disk refuses.
        """
        if self._locked:
            yield
            return
        with self._disk_errors(), lock_file(self._folder).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CatalogueError(
                    f"{self._folder}: another process is writing to this catalogue, and one at "
                    "a time may; wait for it to end and run this again"
                ) from error
            self._index.refresh()
            self._delete_leftovers()
            self._locked = True
            try:
                yield
            finally:
                self._locked = False
                # Before the lock is released: another writer would delete the new file.
                self._background.finish()
            self._index.refresh()

    def add(self, landmarks: Landmarks, track: Track) -> Track:
        """Add a track; see :meth:`fingerprint.catalogue.Catalogue.add_landmarks`."""
        _check(track)
        number = self._metadata.find(track.key)
        if number is not None:
            self._index.refresh()
            if number in self._index.numbers():
                raise CatalogueError(
                    f"{track.key}: the catalogue has a track of this key; remove it first, or "
                    "give another key"
                )
            self._metadata.delete([number])
        recording = track.recording or track.key
        duration = landmarks.end - landmarks.start
        track = replace(track, duration=duration, recording=recording)
        frame, bin_ = hashes.quantised(landmarks)
        length = 1 + track.duration // settings.HOP
        self._metadata.insert(track, length, frame, bin_)
        self._index.load()
        self._background.notify(len(self._index.memory.tracks))
        return track

    def rename(self, track: Track) -> Track:
        """Store a track's title, artist and album; see `Catalogue.rename`."""
        _check(track)
        number = self._metadata.find(track.key)
        stored = None if number is None else self._metadata.track(number)
        if number is None or stored is None:
            raise CatalogueError(
                f"{track.key}: the catalogue has no track of this key; `airsift catalogue list` "
                "prints the keys"
            )
        self._metadata.rename(number, track.title, track.artist, track.album)
        return replace(stored, title=track.title, artist=track.artist, album=track.album)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove tracks, all or none."""
        numbers = {key: self._metadata.find(key) for key in keys}
        unknown = [key for key, number in numbers.items() if number is None]
        if unknown:
            rest = "" if len(numbers) == len(unknown) else ", so nothing was removed"
            raise CatalogueError(
                f"{', '.join(unknown)}: the catalogue has no track of this key{rest}; `airsift "
                "catalogue list` prints the keys"
            )
        self._metadata.delete(number for number in numbers.values() if number is not None)
        self._index.load()

    def merge(self) -> None:
        """Merge all; see :func:`fingerprint.index.merge.merge_all`."""
        self._background.finish()
        merge.merge_all(self._index)

    def _delete_leftovers(self) -> None:
        named = {*self._index.files, *self._index.lost}
        for path in self._index.folder.iterdir():
            if path.name not in named:
                path.unlink()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn an error of the disk or the database into one line."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise CatalogueError(
                f"{self._folder}: writing failed ({error}); what was added before is safe, "
                "make room or check the permissions and run this again"
            ) from error


def _check(track: Track) -> None:
    try:
        check_track(track)
    except ValueError as error:
        raise CatalogueError(
            f"{track.key[:100]}: cannot be stored ({error}); shorten or leave out that field"
        ) from error
