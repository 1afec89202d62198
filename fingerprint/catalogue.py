"""A catalogue on disk: a folder with a database of tracks and an index in segments.

Readers never wait and never lock: a segment never changes, and the database says which
segments count. One process at a time may write, see :mod:`fingerprint.index.writer`.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint import settings
from fingerprint.analysis.track_landmarks import analyse
from fingerprint.index import segment_reader
from fingerprint.index.database import Metadata, create_database
from fingerprint.index.index import FOLDER, Index
from fingerprint.index.writer import Writer, lock_file
from fingerprint.track import Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.index.segment import Segment
    from fingerprint.matching.matcher import LandmarkMatcher

_DATABASE = "catalogue.db"


class Catalogue:
    """A catalogue of tracks, open for reading; :meth:`add` and :meth:`remove` lock it.

    Use :meth:`open` or :meth:`create`.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder = folder
        self._metadata = metadata
        self._index = Index(folder, metadata)
        self._tracks: dict[int, Track | None] = {}
        self._writer = Writer(folder, folder / _DATABASE, metadata, self._index)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Catalogue:
        """Open an existing catalogue.

        Raises
        ------
        CatalogueError
            If there is none, it is damaged, or it is of another version.
        """
        folder = Path(path)
        if not (folder / _DATABASE).is_file():
            raise CatalogueError(
                f"{folder}: there is no catalogue here (no {_DATABASE}); make one with "
                "`airsift catalogue add`, or name another folder"
            )
        return cls(folder, Metadata(folder / _DATABASE))

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Catalogue:
        """Open a catalogue, made empty where there is none.

        Raises
        ------
        CatalogueError
            If the folder cannot be made, or what is there cannot be opened.
        """
        folder = Path(path)
        try:
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            lock_file(folder).touch()
        except OSError as error:
            raise CatalogueError(
                f"{folder}: no catalogue can be made here ({error.strerror}); name a folder "
                "you may write to"
            ) from error
        if not (folder / _DATABASE).exists():
            with lock_file(folder).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # others may be making it as well
                if not (folder / _DATABASE).exists():
                    create_database(folder / _DATABASE)
        return cls(folder, Metadata(folder / _DATABASE))

    def close(self) -> None:
        """Close the database."""
        self._metadata.close()

    # Reading

    def refresh(self) -> None:
        """See what other processes have added or removed; costs next to nothing if nothing."""
        if self._index.refresh():
            self._tracks.clear()

    @property
    def segments(self) -> list[Segment]:
        """The segments of the index that could be opened."""
        return self._index.segments

    @property
    def most_postings(self) -> int:
        """Postings that one question may read; more are slower, and find what is faint."""
        return self._index.most

    @most_postings.setter
    def most_postings(self, most: int) -> None:
        self._index.most = most

    @property
    def problems(self) -> list[str]:
        """One line for every segment that could not be opened; the others serve."""
        return list(self._index.problems)

    def tracks(self) -> list[Track]:
        """Return all tracks in the order they were added."""
        return list(self._metadata.tracks().values())

    def track(self, number: int) -> Track | None:
        """Return the track with a number of the index, or None when it was removed."""
        if number not in self._tracks:
            self._tracks[number] = self._metadata.track(number)
        return self._tracks[number]

    def named(self, key: str) -> Track | None:
        """Return the track of a key, if there is one."""
        number = self._metadata.find(key)
        return None if number is None else self._metadata.track(number)

    def contents(self) -> set[str]:
        """Return the hashes of the files whose tracks can be found in the index."""
        readable = self._index.numbers()
        return {
            content
            for number, content in self._metadata.numbers().items()
            if content and number in readable
        }

    def stats(self) -> dict[str, float]:
        """Return tracks, hours of audio, postings, segments, megabytes, megabytes per hour."""
        tracks, samples = self._metadata.totals()
        hours = samples / settings.SAMPLE_RATE / 3600
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6
        return {
            "tracks": tracks,
            "hours": round(hours, 3),
            "postings": sum(segment.size for segment in self.segments),
            "segments": len(self.segments),
            "megabytes": round(size, 2),
            "megabytes_per_hour": round(size / hours, 2) if hours else 0.0,
        }

    def verify(self) -> list[str]:
        """Read the whole index; return one line for each thing that is wrong with it."""
        self.refresh()
        wrong = self._metadata.wrong() + self.problems
        for segment in self._index.files.values():
            try:
                segment_reader.verify(segment.path)
            except CatalogueError as error:
                wrong.append(str(error))
        readable = self._index.numbers()
        wrong += [
            f"{track.key}: in the list of tracks and in no readable segment, so it cannot be "
            "matched; add its file again, or remove it"
            for number, track in self._metadata.tracks().items()
            if number not in readable
        ]
        return wrong

    def matcher(self) -> LandmarkMatcher:
        """Return a matcher of this catalogue."""
        from fingerprint.matching.matcher import LandmarkMatcher

        return LandmarkMatcher(self)

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer for a while; each call that writes does this for itself.

        Around many calls it saves taking the lock again and again, and lets merges go on
        beside them.

        Raises
        ------
        CatalogueError
            If another process is writing, or the disk refuses.
        """
        with self._writer.locked():
            try:
                yield
            finally:
                self._tracks.clear()

    def add(self, samples: NDArray[np.float32], track: Track) -> Track:
        """Add a track; when this returns it is on disk and other processes see it.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            Mono audio at 16 kHz.
        track : Track
            Its metadata; the duration is taken from the samples.

        Returns
        -------
        Track
            What was stored.

        Raises
        ------
        CatalogueError
            If it is under 3 s or silent, the key is taken, or another process is writing.
        """
        return self.add_landmarks(analyse([samples], track.key), track)

    def add_landmarks(self, landmarks: Landmarks, track: Track) -> Track:
        """Add a track of which another process may have made the landmarks.

        Parameters
        ----------
        landmarks : Landmarks
            What :func:`fingerprint.analysis.track_landmarks.analyse` returns.
        track : Track
            As for :meth:`add`; one of the same file that cannot be found any more, because its
            segment is damaged, is replaced.
        """
        with self.writing():
            return self._writer.add(landmarks, track)

    def remove(self, *keys: str) -> None:
        """Take tracks out; their postings are ignored from now and go with a later merge.

        Raises
        ------
        CatalogueError
            If there is no track of one of the keys (then none is removed), or another process
            is writing.
        """
        with self.writing():
            self._writer.remove(keys)

    def merge(self) -> None:
        """Merge all segments into as few as may be, without what was removed or is damaged."""
        with self.writing():
            self._writer.merge()
