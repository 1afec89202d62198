"""A catalogue on disk: a folder with a database of tracks and an index in segments.

Readers never wait and never lock: a segment never changes, and the database says which
segments count. One process at a time may write. A file of the folder that the database does
not name is a leftover of a process that was killed, and the next writer takes it away.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import CatalogueError
from fingerprint import settings, writing
from fingerprint.metadata import Metadata, Track
from fingerprint.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fingerprint.matcher import LandmarkMatcher

_DATABASE = "catalogue.db"
_SEGMENTS = "segments"
_LOCK = "writer.lock"
# Segments of about one size are merged when there are this many, so a catalogue of n tracks
# has at most about 8 log8(n) of them and every posting is rewritten log8(n) times.
_FAN_IN = 8
# The loudest sample of a track must be above this (-80 dB), or there is nothing to hear.
_SILENCE = 1e-4


class Catalogue:
    """A catalogue of tracks, open for reading; :meth:`add` and :meth:`remove` lock it.

    Use :meth:`open` or :meth:`create`.
    """

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        self.folder = folder
        self._metadata = metadata
        self._version = -1
        self._open: dict[str, Segment] = {}
        self._tracks: dict[int, Track] = {}
        self._problems: dict[str, str] = {}
        self._locked = False
        self._load()

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
        return cls(folder, Metadata(folder / _DATABASE, create=False))

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
            (folder / _SEGMENTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogueError(
                f"{folder}: no catalogue can be made here ({error.strerror}); name a folder "
                "you may write to"
            ) from error
        return cls(folder, Metadata(folder / _DATABASE, create=True))

    def close(self) -> None:
        """Close the database."""
        self._metadata.close()

    # Reading

    def refresh(self) -> None:
        """See what other processes have added or removed; costs next to nothing if nothing."""
        if self._metadata.version() != self._version:
            self._load()

    @property
    def segments(self) -> list[Segment]:
        """The segments of the index that could be opened."""
        return list(self._open.values())

    @property
    def problems(self) -> list[str]:
        """One line for every segment that could not be opened; the others serve."""
        return list(self._problems.values())

    def tracks(self) -> list[Track]:
        """Return all tracks in the order they were added."""
        return list(self._tracks.values())

    def track(self, number: int) -> Track | None:
        """Return the track with a number of the index, or None when it was removed."""
        return self._tracks.get(number)

    def stats(self) -> dict[str, float]:
        """Return tracks, hours of audio, postings, segments, megabytes, megabytes per hour."""
        hours = sum(track.duration for track in self._tracks.values()) / settings.SAMPLE_RATE / 3600
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6
        return {
            "tracks": len(self._tracks),
            "hours": round(hours, 3),
            "postings": sum(segment.size for segment in self.segments),
            "segments": len(self._open),
            "megabytes": round(size, 2),
            "megabytes_per_hour": round(size / hours, 2) if hours else 0.0,
        }

    def verify(self) -> list[str]:
        """Read the whole index; return one line for each thing that is wrong with it."""
        self.refresh()
        wrong = self.problems
        for segment in self.segments:
            try:
                segment.verify()
            except CatalogueError as error:
                wrong.append(str(error))
        indexed = {track for segment in self.segments for track in segment.tracks.tolist()}
        wrong += [
            f"{track.key}: in the list of tracks and in no readable segment, so it cannot be "
            "matched; remove it and add it again"
            for number, track in self._tracks.items()
            if number not in indexed
        ]
        return wrong

    def matcher(self) -> LandmarkMatcher:
        """Return a matcher of this catalogue."""
        from fingerprint.matcher import LandmarkMatcher

        return LandmarkMatcher(self)

    # Writing

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
        from fingerprint.peaks import extract  # brings scipy, which a reader of lists can spare

        track = _checked(samples, track)
        landmarks = extract(samples)
        if not len(landmarks):
            raise CatalogueError(
                f"{track.key}: has no peaks to find it by (a constant or a click?); check the file"
            )
        with self.writing():
            if self._metadata.has(track.key):
                raise CatalogueError(
                    f"{track.key}: the catalogue has a track of this key; remove it first, or "
                    "give another key"
                )
            number = self._metadata.next_track()
            name = f"{uuid.uuid4().hex}.seg"
            writing.write_track(self.folder / _SEGMENTS / name, number, landmarks)
            self._metadata.insert(number, track, name)
            self._tracks[number] = track
            self._open[name] = Segment(self.folder / _SEGMENTS / name)
            self._tidy()
        return track

    def remove(self, key: str) -> None:
        """Take a track out; its postings are ignored from now and go with the next merge.

        Raises
        ------
        CatalogueError
            If there is no such track, or another process is writing.
        """
        with self.writing():
            if not self._metadata.delete(key):
                raise CatalogueError(
                    f"{key}: the catalogue has no track of this key; `airsift catalogue list` "
                    "prints them"
                )
            self._load()

    def merge(self) -> None:
        """Merge all segments into one, without what was removed."""
        with self.writing():
            if len(self._open) > 1 or self._has_removed():
                self._merge(list(self._open))

    def _has_removed(self) -> bool:
        return any(
            number not in self._tracks
            for segment in self.segments
            for number in segment.tracks.tolist()
        )

    def _tidy(self) -> None:
        """Merge segments of one size class when there are enough of them."""
        classes: dict[int, list[str]] = {}
        for name, segment in self._open.items():
            classes.setdefault(_size_class(len(segment.tracks)), []).append(name)
        for size in sorted(classes):
            if len(classes[size]) >= _FAN_IN:
                self._merge(classes[size])
                return

    def _merge(self, names: list[str]) -> None:
        new = f"{uuid.uuid4().hex}.seg"
        path = self.folder / _SEGMENTS / new
        writing.write_merged(path, [self._open[name] for name in names], self._tracks)
        self._metadata.replace_segments(names, [new])
        self._open[new] = Segment(path)
        for name in names:
            del self._open[name]
            # Readers that have it open keep it until they look again.
            (self.folder / _SEGMENTS / name).unlink(missing_ok=True)

    def _load(self) -> None:
        """Open what the database names; a merge in between is seen on the second try."""
        for attempt in (1, 2, 3):
            self._version = self._metadata.version()
            names = self._metadata.segments()
            self._tracks = self._metadata.tracks()
            known, self._open, self._problems = self._open, {}, {}
            for name in names:
                try:
                    self._open[name] = known.get(name) or Segment(self.folder / _SEGMENTS / name)
                except CatalogueError as error:
                    self._problems[name] = str(error)
                except FileNotFoundError:
                    self._problems[name] = (
                        f"{self.folder / _SEGMENTS / name}: a segment of the index is not there; "
                        "put it back, or make the catalogue again"
                    )
            if not self._problems or self._metadata.version() == self._version or attempt == 3:
                return

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer for a while; each call that writes does this for itself.

        Raises
        ------
        CatalogueError
            If another process is writing, or the disk refuses.
        """
        if self._locked:
            yield
            return
        with (self.folder / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CatalogueError(
                    f"{self.folder}: another process is writing to this catalogue, and one at a "
                    "time may; wait for it to end and run this again"
                ) from error
            self.refresh()
            named = set(self._metadata.segments())
            for path in (self.folder / _SEGMENTS).iterdir():
                if path.name not in named:
                    path.unlink()
            self._locked = True
            try:
                yield
            except (OSError, sqlite3.Error) as error:
                raise CatalogueError(
                    f"{self.folder}: writing failed ({error}); what was added before is safe, "
                    "make room or check the permissions and run this again"
                ) from error
            finally:
                self._locked = False


def _size_class(tracks: int) -> int:
    return int(np.log2(max(tracks, 1)) / np.log2(_FAN_IN))


def _checked(samples: NDArray[np.float32], track: Track) -> Track:
    """Return the track with its duration, if there is something to index."""
    duration_s = len(samples) / settings.SAMPLE_RATE
    if duration_s < settings.MIN_TRACK_S:
        raise CatalogueError(
            f"{track.key}: lasts {duration_s:.1f} s, a track needs at least "
            f"{settings.MIN_TRACK_S:g} s to be told from others; leave it out"
        )
    loudest = float(np.abs(samples).max())
    if not loudest > _SILENCE:
        raise CatalogueError(
            f"{track.key}: its loudest sample is {loudest:.1e} of full scale, so it is silent; "
            "check the file"
        )
    return Track(
        track.key,
        track.title,
        track.artist,
        track.album,
        track.isrc,
        len(samples),
        track.content,
        track.extra,
    )
