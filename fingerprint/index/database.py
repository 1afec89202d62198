"""The database of a catalogue, in SQLite: its tracks, its segments, the peaks of its newest tracks.

One transaction adds a track: its row and its peaks appear together or not at all, whatever kills
the process. Another moves its peaks to a segment file. SQLite's write-ahead log lets readers read
meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import CatalogueError
from airsift.files import atomic
from fingerprint import settings
from fingerprint.index.checks import MAX_VALUE_BYTES, parse_object, to_peaks, to_track
from fingerprint.index.database_copy import copied, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fingerprint.index.checks import Row
    from fingerprint.index.database_copy import Stamp
    from fingerprint.track import Track, TrackPeaks

_SCHEMA = """
CREATE TABLE settings (analysis TEXT NOT NULL);
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: a removed track stays removed
    key TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL, artist TEXT NOT NULL, album TEXT NOT NULL, isrc TEXT NOT NULL,
    label TEXT NOT NULL,
    duration INTEGER NOT NULL,             -- samples at 16 kHz
    content TEXT NOT NULL,                 -- hash of the file it came from, or empty
    extra TEXT NOT NULL,                   -- JSON object
    recording TEXT NOT NULL                -- key of the first track with this recording
);
CREATE INDEX tracks_by_recording ON tracks (recording);
CREATE TABLE segments (name TEXT PRIMARY KEY);
CREATE TABLE recent (                      -- tracks that no segment holds yet
    track INTEGER PRIMARY KEY,
    length INTEGER NOT NULL,               -- frames
    peaks BLOB NOT NULL                    -- frames (4 bytes each), then bins (1 byte each)
);
"""
DATABASE = "catalogue.db"  # its name in the catalogue's folder
_FIELDS = "id, key, title, artist, album, isrc, label, duration, content, extra, recording"


def create_database(path: Path) -> None:
    """Create the SQLite file of an empty catalogue, atomically.

    Raises
    ------
    CatalogueError
        If the disk refuses.
    """
    try:
        with atomic(path) as partial:
            partial.unlink(missing_ok=True)
            db = sqlite3.connect(partial, isolation_level=None)
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            db.execute("INSERT INTO settings VALUES (?)", (json.dumps(settings.analysis()),))
            db.close()
    except (OSError, sqlite3.Error) as error:
        raise _cannot(path, error) from error


class Metadata:
    """The SQLite file of a catalogue.

    Parameters
    ----------
    path : Path
        The file, see :func:`create_database`.

    Raises
    ------
    CatalogueError
        If it is no such file, cannot be opened, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp = ()  # of the copy in memory, if that is what is read
        self._copies = 0
        try:
            # Without the right to write, a process may read the log of a writer, and then not
            # notice that the next writer starts a new log.
            may_write = all(os.access(each, os.W_OK) for each in (path, path.parent))
            rows = self._open() if may_write else self._open_copy()
        except (OSError, sqlite3.OperationalError) as error:
            raise _cannot(path, error) from error
        except sqlite3.DatabaseError as error:
            raise CatalogueError(
                f"{path}: not the database of a catalogue ({error}); name a folder made by "
                "`airsift catalogue add`"
            ) from error
        try:
            found = parse_object(rows[0][0]) if rows else {}
        except ValueError as error:
            raise CatalogueError(
                f"{path}: its analysis settings are damaged ({error}); put back a copy, or make a "
                "new catalogue with `airsift catalogue add`"
            ) from error
        settings.check(found, str(path))

    def _open(self) -> list[Row]:
        """Connect; return the stored settings."""
        self._db = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=30.0,
            check_same_thread=False,
            isolation_level=None,  # transactions are written out below
        )
        return self._checked()

    def _open_copy(self) -> list[Row]:
        """Connect to a copy of the file; return the stored settings."""
        self._db, self._stamp = copied(self._path)
        self._copies += 1
        found = self._checked()
        self._db.execute("PRAGMA query_only=ON")
        return found

    def _checked(self) -> list[Row]:
        """Make the connection safe; return the stored settings."""
        # The file may come from others: refuse values larger than airsift writes, and code that
        # runs when a table is read.
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._db.execute("PRAGMA trusted_schema=OFF")
        active = self._db.execute("SELECT name FROM sqlite_schema WHERE type IN ('view','trigger')")
        if active.fetchone() is not None:
            raise sqlite3.DatabaseError("it holds a view or a trigger")
        return self._db.execute("SELECT analysis FROM settings").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Reading

    def version(self) -> int:
        """Return a number that changes when another connection has changed the file."""
        if self._stamp:
            return self._version_of_copy()
        return int(self._all("PRAGMA data_version")[0][0])

    def _version_of_copy(self) -> int:
        if stamp(self._path) != self._stamp:
            old = self._db
            try:
                self._open_copy()
            except sqlite3.OperationalError:  # others write all the time: retry at the next call
                return self._copies
            except (OSError, sqlite3.DatabaseError) as error:
                raise _cannot(self._path, error) from error
            old.close()
        return self._copies

    def tracks(self) -> dict[int, Track]:
        """Return all tracks by their number, without those whose row is damaged."""
        return self._tracks()[0]

    def track(self, number: int) -> Track | None:
        """Return the track with a number, or None when it was removed."""
        rows = self._all(f"SELECT {_FIELDS} FROM tracks WHERE id = ?", number)  # noqa: S608
        try:
            return to_track(rows[0]) if rows else None
        except ValueError:  # `problems` reports it
            return None

    def numbers_with(self, test: Callable[..., bool] | None) -> list[int]:
        """Return the numbers of the tracks whose texts pass a test, the newest first."""
        query = "SELECT id FROM tracks ORDER BY id DESC"
        if test is not None:
            self._db.create_function("passes", 6, test)
            query = (
                "SELECT id FROM tracks WHERE passes(key, title, artist, album, isrc, label) "
                "ORDER BY id DESC"
            )
        return [number for (number,) in self._all(query)]

    def of_recording(self, recording: str) -> list[Track]:
        """Return the tracks with a recording, in the order of adding."""
        found = []
        query = f"SELECT {_FIELDS} FROM tracks WHERE recording = ? ORDER BY id"  # noqa: S608
        for row in self._all(query, recording):
            with suppress(ValueError):  # `problems` reports it
                found.append(to_track(row))
        return found

    def numbers(self) -> dict[int, str]:
        """Return the numbers of all tracks, each with the hash of the file it came from."""
        return dict(self._all("SELECT id, content FROM tracks ORDER BY id"))

    def find(self, key: str) -> int | None:
        """Return the number of the track of this key, if there is one."""
        try:
            key.encode()
        except UnicodeEncodeError:  # not valid text, so not the key of a track
            return None
        rows = self._all("SELECT id FROM tracks WHERE key = ?", key)
        return int(rows[0][0]) if rows else None

    def totals(self) -> tuple[int, int]:
        """Return the number of tracks, and of their samples."""
        counted = "TOTAL(CASE WHEN typeof(duration) = 'integer' THEN duration END)"
        count, samples = self._all(f"SELECT COUNT(*), {counted} FROM tracks")[0]  # noqa: S608
        return int(count), int(samples)

    def index(
        self, known: Sequence[int]
    ) -> tuple[list[object], list[TrackPeaks], dict[int, str], bool]:
        """Return a consistent view of what the index consists of.

        Parameters
        ----------
        known : sequence of int
            Numbers of the newest tracks whose peaks the caller has already.

        Returns
        -------
        list
            The names of the segment files, unchecked.
        list of TrackPeaks
            The tracks that are in no segment yet: those after the known ones, or all.
        dict of int to str
            Damaged ones among them, with the reason.
        bool
            Whether they follow the known ones: False where one of those is gone.
        """
        with self.transaction("DEFERRED"):
            names = [row[0] for row in self._all("SELECT name FROM segments ORDER BY name")]
            recent = [row[0] for row in self._all("SELECT track FROM recent ORDER BY track")]
            follows = recent[: len(known)] == list(known)
            last = known[-1] if follows and known else 0
            new = self._all("SELECT * FROM recent WHERE track > ? ORDER BY track", last)
        peaks, damaged = [], {}
        for row in new:
            try:
                peaks.append(to_peaks(*row))
            except ValueError as error:
                damaged[row[0]] = str(error)
        return names, peaks, damaged, follows

    def problems(self) -> list[str]:
        """Check the file; return one line for each problem."""
        damaged = [
            f"{self._path}: track {number} is damaged ({reason}); put back a copy, or make a new "
            "catalogue from the audio with `airsift catalogue add`"
            for number, reason in self._tracks()[1].items()
        ]
        found = [row[0] for row in self._all("PRAGMA integrity_check")]
        if found == ["ok"]:
            return damaged
        wrong = "; ".join(" ".join(line.split()) for line in found)
        return [
            *damaged,
            f"{self._path}: the database is damaged ({wrong[:200]}); put back a copy, or make a "
            "new catalogue from the audio with `airsift catalogue add`",
        ]

    def _tracks(self) -> tuple[dict[int, Track], dict[int, str]]:
        """Return the tracks by number, and the reasons of damaged ones by number."""
        tracks, damaged = {}, {}
        for row in self._all(f"SELECT {_FIELDS} FROM tracks ORDER BY id"):  # noqa: S608
            try:
                tracks[row[0]] = to_track(row)
            except ValueError as error:
                damaged[row[0]] = str(error)
        return tracks, damaged

    # Writing

    def insert(
        self, track: Track, length: int, frame: NDArray[np.integer], bin_: NDArray[np.integer]
    ) -> int:
        """Add a track and its peaks; return its number."""
        row = (track.key, track.title, track.artist, track.album, track.isrc, track.label)
        extra = json.dumps(track.extra, ensure_ascii=False)
        peaks = frame.astype("<u4").tobytes() + bin_.astype(np.uint8).tobytes()
        with self.transaction():
            cursor = self._db.execute(
                f"INSERT INTO tracks ({_FIELDS}) VALUES (NULL,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
                (*row, track.duration, track.content, extra, track.recording),
            )
            number = int(cursor.lastrowid or 0)
            self._db.execute("INSERT INTO recent VALUES (?, ?, ?)", (number, length, peaks))
        return number

    def rename(self, number: int, title: str, artist: str, album: str) -> None:
        """Give a track another title, artist and album."""
        with self.transaction():
            self._db.execute(
                "UPDATE tracks SET title = ?, artist = ?, album = ? WHERE id = ?",
                (title, artist, album, number),
            )

    def delete(self, numbers: Iterable[int]) -> None:
        """Remove tracks, in one transaction."""
        rows = [(number,) for number in numbers]
        with self.transaction():
            self._db.executemany("DELETE FROM tracks WHERE id = ?", rows)
            self._db.executemany("DELETE FROM recent WHERE track = ?", rows)

    def replace(self, old: Iterable[object], recent: Iterable[int], new: Sequence[str]) -> None:
        """Replace `old` segments and the peaks of `recent` tracks by `new` segments."""
        with self.transaction():
            self._db.executemany("DELETE FROM segments WHERE name IS ?", [(name,) for name in old])
            self._db.executemany("DELETE FROM recent WHERE track = ?", [(n,) for n in recent])
            self._db.executemany("INSERT INTO segments VALUES (?)", [(name,) for name in new])

    def compact(self) -> None:
        """Return the space of deleted rows to the disk."""
        self._db.execute("PRAGMA incremental_vacuum").fetchall()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def transaction(self, kind: str = "IMMEDIATE") -> _Transaction:
        """Return a context manager of one transaction."""
        return _Transaction(self._db, kind)

    def _all(self, query: str, *values: object) -> list[Row]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _cannot(self._path, error) from error


def _cannot(path: Path, error: Exception) -> CatalogueError:
    return CatalogueError(
        f"{path}: cannot be used ({error}); see whether there is room, whether you may write "
        "there, and what `airsift catalogue verify` says"
    )


class _Transaction:
    def __init__(self, db: sqlite3.Connection, kind: str) -> None:
        self._db = db
        self._kind = kind

    def __enter__(self) -> None:
        self._db.execute(f"BEGIN {self._kind}")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:  # SQLite ends it by itself when the disk is full
            self._db.execute("ROLLBACK")
