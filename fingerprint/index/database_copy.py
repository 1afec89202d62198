"""A database in a read-only folder: a copy in memory, renewed when the file changes.

Readers of SQLite's write-ahead log must be able to write to a file. Where they cannot, as on a
read-only volume of a container, SQLite offers only a mode for files that never change, which gives
nonsense if they do. A copy is consistent, and the next copy shows what others have added.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path

_ATTEMPTS = 20
# File times have a resolution of some milliseconds: a change within one step is invisible.
_STEP_S = 0.05
_WAL_HEADER = 32

Stamp = tuple[int, ...]


def stamp(path: Path) -> Stamp:
    """Return a value that changes when a database or its log is written to."""
    found: list[int] = []
    for file in (path, _log(path)):
        try:
            status = file.stat()
            found += [status.st_mtime_ns, status.st_size, status.st_ino]
        except FileNotFoundError:
            found.append(-1)
    return tuple(found)


def copied(path: Path) -> tuple[sqlite3.Connection, Stamp]:
    """Return a copy of a database in memory, and its stamp.

    Parameters
    ----------
    path : Path
        The database; others may write to it meanwhile.

    Raises
    ------
    OSError
        It cannot be read, or there is no space for a copy.
    sqlite3.Error
        It is no database, or it changes too often to be copied.
    """
    for _ in range(_ATTEMPTS):
        before = stamp(path)
        if abs(time.time_ns() - max(before)) < _STEP_S * 1e9:
            time.sleep(_STEP_S)
            before = stamp(path)
        with tempfile.TemporaryDirectory(prefix="airsift-") as place:
            file = Path(place) / path.name
            file.write_bytes(path.read_bytes())
            head = _copy_log(path, file)
            # A log that was restarted or checkpointed meanwhile does not fit what was read.
            if stamp(path)[:3] != before[:3] or _head(path) != head:
                continue
            return _in_memory(file), before
    raise sqlite3.OperationalError("others write to it all the time; try again")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _head(path: Path) -> bytes:
    try:
        with _log(path).open("rb") as log:
            return log.read(_WAL_HEADER)
    except FileNotFoundError:
        return b""


def _copy_log(path: Path, file: Path) -> bytes:
    try:
        data = _log(path).read_bytes()
    except FileNotFoundError:
        return b""
    _log(file).write_bytes(data)
    return data[:_WAL_HEADER]


def _in_memory(file: Path) -> sqlite3.Connection:
    """Read a database and the valid part of its log into memory."""
    memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    opened = sqlite3.connect(file)
    try:
        opened.backup(memory)
    finally:
        opened.close()
    return memory
