"""What a catalogue knows beside sound: its tracks and its list of segments, in SQLite.

One transaction makes a track part of the catalogue: its row and its segment's name appear
together or not at all, whatever kills the process.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airsift.errors import CatalogueError
from fingerprint import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE settings (analysis TEXT NOT NULL);
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: a removed track stays removed
    key TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL, artist TEXT NOT NULL, album TEXT NOT NULL, isrc TEXT NOT NULL,
    duration INTEGER NOT NULL,             -- samples at 16 kHz
    content TEXT NOT NULL,                 -- hash of the file it came from, or empty
    extra TEXT NOT NULL                    -- JSON object
);
CREATE INDEX tracks_content ON tracks (content);
CREATE TABLE segments (name TEXT PRIMARY KEY);
"""
_FIELDS = "id, key, title, artist, album, isrc, duration, content, extra"


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a catalogue.

    Parameters
    ----------
    key : str
        Its name in the catalogue, unique.
    title, artist, album, isrc : str
        What people call it; empty where not known.
    duration : int >= 0
        Samples at 16 kHz.
    content : str
        Hash of the file it was made from: the same file is not added twice.
    extra : dict
        Any other fields, as JSON knows them.
    """

    key: str
    title: str = ""
    artist: str = ""
    album: str = ""
    isrc: str = ""
    duration: int = 0
    content: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Metadata:
    """The SQLite file of a catalogue.

    Parameters
    ----------
    path : Path
        The file.
    create : bool
        Whether to make it where there is none.

    Raises
    ------
    CatalogueError
        If it is no such file, or of another version.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        mode = "rwc" if create else "rw"
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=30.0,
                check_same_thread=False,
                isolation_level=None,  # transactions are written out below
            )
            if create and not self._all("SELECT name FROM sqlite_master"):
                self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
                self._run("INSERT INTO settings VALUES (?)", json.dumps(settings.analysis()))
            rows = self._all("SELECT analysis FROM settings")
        except sqlite3.DatabaseError as error:
            raise CatalogueError(
                f"{path}: not the database of a catalogue ({error}); name a folder made by "
                "`airsift catalogue add`"
            ) from error
        settings.check(json.loads(rows[0][0]) if rows else {}, str(path))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def version(self) -> int:
        """Return a number that changes when another process has changed the file."""
        return int(self._all("PRAGMA data_version")[0][0])

    def tracks(self) -> dict[int, Track]:
        """Return all tracks by their number."""
        rows = self._all(f"SELECT {_FIELDS} FROM tracks ORDER BY id")  # noqa: S608
        return {row[0]: _to_track(row) for row in rows}

    def segments(self) -> list[str]:
        """Return the names of the segments that make up the index."""
        return [row[0] for row in self._all("SELECT name FROM segments ORDER BY name")]

    def next_track(self) -> int:
        """Return the number the next track will get."""
        rows = self._all("SELECT seq FROM sqlite_sequence WHERE name = 'tracks'")
        return (rows[0][0] if rows else 0) + 1

    def has(self, key: str) -> bool:
        """Return whether there is a track of this key."""
        return bool(self._db.execute("SELECT 1 FROM tracks WHERE key = ?", (key,)).fetchall())

    def insert(self, number: int, track: Track, segment: str) -> None:
        """Add a track and its segment, together."""
        row = (number, track.key, track.title, track.artist, track.album, track.isrc)
        rest = (track.duration, track.content, json.dumps(track.extra, ensure_ascii=False))
        with self._transaction():
            self._run(f"INSERT INTO tracks ({_FIELDS}) VALUES (?,?,?,?,?,?,?,?,?)", *row, *rest)  # noqa: S608
            self._run("INSERT INTO segments VALUES (?)", segment)

    def delete(self, key: str) -> bool:
        """Take a track out; return whether there was one."""
        return self._db.execute("DELETE FROM tracks WHERE key = ?", (key,)).rowcount > 0

    def replace_segments(self, old: Iterable[str], new: Sequence[str]) -> None:
        """Let `new` segments stand for the `old` ones."""
        with self._transaction():
            for name in old:
                self._run("DELETE FROM segments WHERE name = ?", name)
            for name in new:
                self._run("INSERT INTO segments VALUES (?)", name)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    def _all(self, query: str) -> list[Any]:
        return self._db.execute(query).fetchall()

    def _run(self, query: str, *values: object) -> None:
        self._db.execute(query, values)


def _to_track(row: tuple[Any, ...]) -> Track:
    _, key, title, artist, album, isrc, duration, content, extra = row
    return Track(key, title, artist, album, isrc, duration, content, json.loads(extra))


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
