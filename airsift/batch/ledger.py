"""What made each file of an output folder, so that a run can be continued.

A file ``.airsift-segment.jsonl`` in the folder has a line for each result, which is written before
the result is: if a result is what its line says, it is complete, and it is airsift's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedWriter
    from pathlib import Path

NAME = ".airsift-segment.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A result.

    Parameters
    ----------
    output : str
        Its path below the folder.
    recording : str
        Path of the recording, from the root; an address without login and query.
    size, mtime_ns : int
        Of the recording's file when it was read; -1 where it is no file.
    made_by : str
        Hash of all that decides the result beside the recording.
    n_bytes, sha256
        Of the result.
    warnings : int
        Number of faults in the recording.
    """

    output: str
    recording: str
    size: int
    mtime_ns: int
    made_by: str
    n_bytes: int
    sha256: str
    warnings: int

    def is_of(self, recording: str, size: int, mtime_ns: int) -> bool:
        """Return whether it is of a recording, which may have been moved or changed since."""
        is_same = size >= 0 and (self.size, self.mtime_ns) == (size, mtime_ns)
        return self.recording == recording or is_same

    def describes(self, path: Path) -> bool:
        """Return whether a file holds the result, and nothing was changed in it."""
        try:
            if path.stat().st_size != self.n_bytes:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


class Ledger:
    """The entries of a folder; made by `open_ledger`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries: dict[str, Entry] = {}
        self._before: dict[str, Entry] = {}  # those that were replaced last
        self._n_lines = 0
        self._read()
        if self._n_lines > 3 * len(self._entries) + 100:  # mostly of results that were made again
            lines = map(_line, (*self._before.values(), *self._entries.values()))
            write_whole(self._path, b"".join(lines))
        self._file: BufferedWriter = self._path.open("ab")
        if self._file.tell() and not self._ends_whole():
            self._file.write(b"\n")

    def get(self, output: str) -> Entry | None:
        """Return the entry of a result, by its path below the folder."""
        return self._entries.get(output)

    def is_own(self, output: str, path: Path) -> bool:
        """Return whether a file is airsift's, and as it was written.

        It may be the result before the last entry, if the machine went down before the next one was
        there.
        """
        entries = (self._entries.get(output), self._before.get(output))
        return any(entry is not None and entry.describes(path) for entry in entries)

    def add(self, entry: Entry) -> None:
        """Write an entry, before its result."""
        self._file.write(_line(entry))
        self._file.flush()
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        if entry.output in self._entries:
            self._before[entry.output] = self._entries[entry.output]
        self._entries[entry.output] = entry

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                for line in file:
                    self._n_lines += 1
                    try:
                        self._keep(Entry(**json.loads(line)))
                    except (ValueError, TypeError):  # cut off when the machine went down
                        continue
        except FileNotFoundError:
            pass

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """Give the ledger of a folder, which nobody else writes into while the block runs.

    Raises
    ------
    ConfigError
        Another process writes into the folder, or the folder cannot be written.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{folder}: another airsift writes into this folder; wait until it has ended, or "
                "name another --output"
            ) from error
        except OSError:  # a file system without locks
            pass
        try:
            ledger = Ledger(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        with closing(ledger):
            yield ledger
    finally:
        os.close(handle)


def entry_of(
    output: str, source: tuple[str, int, int], made_by: str, data: bytes, warnings: int
) -> Entry:
    """Return the entry of a result that is about to be written."""
    digest = hashlib.sha256(data).hexdigest()
    return Entry(output, *source, made_by, len(data), digest, warnings)


def _line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry)).encode() + b"\n"


def _unusable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder}: results cannot be written there ({error.strerror or error}); name another "
        "--output, or change its permissions"
    )
