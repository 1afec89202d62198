"""Rows on disk, while the database is away: a queue of files that survives the process.

Each process appends to files of its own, which it holds locked. Files that nobody holds are those
of a process that has ended: whoever comes first takes them over, so nothing waits for its writer.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from airsift.errors import Backpressure, ConfigError
from stream.history.rows import Row

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FILE_BYTES = 16_000_000  # after which another file is begun; each is an open file of the process
_BATCH = 1_000  # rows that are read at once
_SUFFIX = ".spool"
_RETRY_S = 2.0


class Spool:
    """A queue of rows on disk. Calls must not overlap.

    Parameters
    ----------
    folder : Path
        Where the files are; other processes may use it as well.
    max_bytes : int > 0
        Bytes of all files in it.

    Raises
    ------
    ConfigError
        The folder cannot be written to.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._held: dict[str, int] = {}  # name to the handle that holds the lock
        self._current = ""
        self._last_ns = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise ConfigError(
                f"database.spool_folder={str(folder)!r} cannot be written to ({error.strerror}); "
                "name a folder for rows that wait for the database, or set database.spool_mb=0"
            ) from None

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows: all of them are on the disk afterwards, or none.

        Raises
        ------
        Backpressure
            The spool, or the disk, is full.
        """
        if not rows:
            return
        data = "".join(f"{row.to_json()}\n" for row in rows).encode()
        size = self.size()
        if size + len(data) > self._max_bytes:
            raise Backpressure(
                f"{self._folder}: {size / 1e6:.0f} MB wait for the database, "
                f"database.spool_mb={self._max_bytes / 1e6:.0f}",
                retry_after_s=_RETRY_S,
            )
        try:
            self._append(data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise Backpressure(
                f"{self._folder}: no space left on its disk for {len(data)} bytes; free some",
                retry_after_s=_RETRY_S,
            ) from None

    def size(self) -> int:
        """Return the bytes of all files in the folder."""
        sizes = 0
        for name in self._names():
            try:
                sizes += (self._folder / name).stat().st_size
            except FileNotFoundError:  # another process is done with it
                continue
        return sizes

    def take(self) -> str | None:
        """Return the oldest file that nobody else holds, None where there is none.

        Nothing is appended to it any more.
        """
        for name in self._names():
            if name in self._held or self._lock(name):
                if name == self._current:
                    self._current = ""
                return name
        return None

    def read(self, name: str) -> Iterator[list[Row]]:
        """Yield the rows of a file that was taken, some at a time."""
        batch: list[Row] = []
        lost = 0
        with (self._folder / name).open(encoding="utf-8", errors="replace", newline="\n") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    break  # the process ended while it wrote: it had not accepted these
                try:
                    batch.append(Row.from_json(line))
                except (ValueError, TypeError, KeyError, AttributeError):
                    lost += 1
                if len(batch) >= _BATCH:
                    yield batch
                    batch = []
        if lost:
            log.warning("%s/%s: %d damaged lines are left out", self._folder, name, lost)
        if batch:
            yield batch

    def remove(self, name: str) -> None:
        """Remove a file that was taken: its rows are in the database."""
        (self._folder / name).unlink(missing_ok=True)
        os.close(self._held.pop(name))

    def close(self) -> None:
        """Give the files up, for the next process."""
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()
        self._current = ""

    def _append(self, data: bytes) -> None:
        if not self._current:
            self._begin()
        handle = self._held[self._current]
        start = os.fstat(handle).st_size
        try:
            done = 0
            while done < len(data):
                done += os.write(handle, data[done:])
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, start)
            raise
        if start + len(data) >= _FILE_BYTES:
            self._current = ""

    def _begin(self) -> None:
        # Later files have later names, whatever happens to the clock.
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        name = f"{self._last_ns:020d}-{secrets.token_hex(4)}{_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(self._folder / name, flags, 0o640)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._held[name] = handle
        self._current = name
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _lock(self, name: str) -> bool:
        """Hold a file of a process that has ended; False where it has not."""
        path = self._folder / name
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:  # else its last owner has just removed it
                self._held[name] = handle
                return True
        except OSError:
            pass
        os.close(handle)
        return False

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob(f"*{_SUFFIX}"))
