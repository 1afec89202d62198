"""A catalogue on disk: a folder with a database of tracks and an index in segments.

Readers never wait and never lock: a segment never changes, and the database names the valid
segments. One process at a time may write, see :mod:`fingerprint.index.writer`.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint import settings
from fingerprint.index import segment_file
from fingerprint.index.database import DATABASE, Metadata, create_database
from fingerprint.index.index import FOLDER, Index
from fingerprint.index.writer import Writer, lock_file
from fingerprint.track import Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.index.segment import Segment

# Tracks, and recordings, whose metadata stays in memory: some megabytes, and up to 100 MB where
# each has 10 kB of further fields. Every candidate asks for its track.
MAX_READ = 10_000


class Catalogue:
    """An open catalogue of tracks; made by :meth:`open` or :meth:`create`.

    Methods that write hold the writer's lock meanwhile.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder = folder
        self._metadata = metadata
        self._index = Index(folder, metadata)
        self._tracks: dict[int, Track | None] = {}
        self._copies: dict[str, list[Track]] = {}
        self._writer = Writer(folder, folder / DATABASE, metadata, self._index)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Catalogue:
        """Open an existing catalogue.

        Raises
        ------
        CatalogueError
            There is none, or it is damaged or of another version.
        """
        folder = Path(path)
        if not (folder / DATABASE).is_file():
            raise CatalogueError(
                f"{folder}: there is no catalogue here (no {DATABASE}); make one with "
                "`airsift catalogue add`, or name another folder"
            )
        return cls(folder, Metadata(folder / DATABASE))

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Catalogue:
        """Open a catalogue; create an empty one if there is none.

        Raises
        ------
        CatalogueError
            The folder cannot be made, or the catalogue in it cannot be opened.
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
        if not (folder / DATABASE).exists():
            with lock_file(folder).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be creating it too
                if not (folder / DATABASE).exists():
                    create_database(folder / DATABASE)
        return cls(folder, Metadata(folder / DATABASE))

    def close(self) -> None:
        """Close the database."""
        self._metadata.close()

    # Reading

    def refresh(self) -> None:
        """Load changes by other processes; nearly free if there are none."""
        if self._index.refresh():
            self._forget()

    @property
    def segments(self) -> list[Segment]:
        """The segments of the index that could be opened."""
        return self._index.segments

    @property
    def max_query_postings(self) -> int:
        """Postings that one query may read; more are slower, and find fainter music."""
        return self._index.max_query_postings

    @max_query_postings.setter
    def max_query_postings(self, postings: int) -> None:
        self._index.max_query_postings = postings

    @property
    def problems(self) -> list[str]:
        """One line for each segment that could not be opened; the others are searched."""
        return list(self._index.problems)

    def __len__(self) -> int:
        """Return the number of tracks."""
        return self._metadata.totals()[0]

    def tracks(self) -> list[Track]:
        """Return all tracks in the order of adding."""
        return list(self._metadata.tracks().values())

    def track(self, number: int) -> Track | None:
        """Return the track with this number of the index, or None if it was removed."""
        if number not in self._tracks:
            _drop_oldest(self._tracks)
            self._tracks[number] = self._metadata.track(number)
        return self._tracks[number]

    def copies(self, track: Track) -> list[Track]:
        """Return the other tracks with the recording of a track, in the order of adding."""
        if track.recording not in self._copies:
            _drop_oldest(self._copies)
            self._copies[track.recording] = self._metadata.of_recording(track.recording)
        return [copy for copy in self._copies[track.recording] if copy.key != track.key]

    def named(self, key: str) -> Track | None:
        """Return the track with this key, if there is one."""
        number = self._metadata.find(key)
        return None if number is None else self._metadata.track(number)

    def contents(self) -> set[str]:
        """Return the file hashes of the tracks that the index holds."""
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
        """Read the whole index; return one line for each problem."""
        self.refresh()
        problems = self._metadata.problems() + self.problems
        for segment in self._index.files.values():
            try:
                segment_file.verify(segment.path)
            except CatalogueError as error:
                problems.append(str(error))
        readable = self._index.numbers()
        problems += [
            f"{track.key}: in the list of tracks and in no readable segment, so it cannot be "
            "matched; add its file again, or remove it"
            for number, track in self._metadata.tracks().items()
            if number not in readable
        ]
        return problems

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer's lock; each method that writes does this by itself.

        Around many calls it takes the lock only once, and lets merges run beside them.

        Raises
        ------
        CatalogueError
            Another process is writing, or the disk refuses.
        """
        with self._writer.locked():
            try:
                yield
            finally:
                self._forget()

    def add(self, samples: NDArray[np.float32], track: Track) -> Track:
        """Add a track; on return it is on disk, and other processes find it.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            Mono audio at 16 kHz.
        track : Track
            Its metadata; the duration is set from the samples.

        Returns
        -------
        Track
            The stored track.

        Raises
        ------
        CatalogueError
            It is under 3 s or silent, the key is in use, or another process is writing.
        """
        from fingerprint.analysis.track_landmarks import analyse  # readers do without

        return self.add_landmarks(analyse([samples], track.key), track)

    def add_landmarks(self, landmarks: Landmarks, track: Track) -> Track:
        """Add a track by its landmarks, which another process may have extracted.

        Parameters
        ----------
        landmarks : Landmarks
            The result of :func:`fingerprint.analysis.track_landmarks.analyse`.
        track : Track
            As for :meth:`add`. A track with the same key whose segment is damaged is replaced.
        """
        with self.writing():
            return self._writer.add(landmarks, track)

    def rename(
        self,
        key: str,
        *,
        title: str | None = None,
        artist: str | None = None,
        album: str | None = None,
    ) -> Track:
        """Give a track another title, artist or album; None leaves one as it is.

        Matches have the new names from then on, also in processes that run already.

        Raises
        ------
        CatalogueError
            The key is unknown, a text cannot be stored, or another process is writing.
        """
        given = {"title": title, "artist": artist, "album": album}
        with self.writing():
            track = self.named(key) or Track(key)
            changed = {name: text for name, text in given.items() if text is not None}
            return self._writer.rename(replace(track, **changed))  # type: ignore[arg-type]

    def remove(self, *keys: str) -> None:
        """Remove tracks; their postings are ignored from now on and dropped by a later merge.

        Raises
        ------
        CatalogueError
            One of the keys is unknown (then no track is removed), or another process is writing.
        """
        with self.writing():
            self._writer.remove(keys)

    def merge(self) -> None:
        """Merge all segments into as few as possible, without removed and damaged tracks."""
        with self.writing():
            self._writer.merge()

    def _forget(self) -> None:
        """Drop what was read of the tracks: it may have changed."""
        self._tracks.clear()
        self._copies.clear()


def _drop_oldest(read: dict[int, Track | None] | dict[str, list[Track]]) -> None:
    """Make room for one more, so that memory does not grow with the catalogue."""
    if len(read) >= MAX_READ:
        read.pop(next(iter(read)))  # type: ignore[call-overload]  # its own key
