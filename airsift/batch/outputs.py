"""Where results go: a folder with a file for each recording, or one file.

A result of a recording is ``NAME.SUFFIX`` at the recording's place below the folder, or
``NAME.EXTENSION.SUFFIX`` where another recording has that one. It is written whole or not at all,
and never over what is not airsift's own result of the same recording.
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from airsift.batch.ledger import entry_of
from airsift.errors import ConfigError
from airsift.files import write_whole
from airsift.inputs import is_address, label_of

if TYPE_CHECKING:
    from airsift.batch.ledger import Ledger
    from airsift.batch.recordings import Item
    from airsift.formats import Format

_MAX_NAME = 240  # bytes; file systems take 255, and ``.partial`` is put behind while it is written


class State(enum.Enum):
    """What is to be done with a recording."""

    NEW = "new"
    DONE = "done"
    DAMAGED = "damaged"  # done, and not all of the recording could be read


@dataclass(frozen=True, slots=True)
class Task:
    """A recording, and where its result goes.

    Parameters
    ----------
    item : Item
        The recording.
    output : str
        Path of the result below the folder; empty for standard output.
    state : State
        Whether it is done.
    audio : str
        The recording as its result names it: for formats that hold a path, seen from the result.
    source : (str, int, int)
        The recording's path, size and time of change before it was read; -1 where it is no file.
    """

    item: Item
    output: str = ""
    state: State = State.NEW
    audio: str = ""
    source: tuple[str, int, int] = ("", -1, -1)

    @property
    def n_bytes(self) -> int:
        """Size of the recording's file; 0 where it is none."""
        return max(self.source[1], 0)


class Outputs:
    """The results in a folder.

    Parameters
    ----------
    folder : Path
        It exists.
    ledger : Ledger
        That of the folder.
    format : Format
        Of all results.
    made_by : str
        Hash of what else decides them.
    overwrite : bool
        Whether what is there is made again, whoever made it.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        format: Format,  # noqa: A002 the user's word
        made_by: str,
        *,
        overwrite: bool,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._format = format
        self._made_by = made_by
        self._overwrite = overwrite
        self._taken: dict[str, str] = {}  # results of this run, and their recordings

    def plan(self, item: Item) -> Task:
        """Return where the result of a recording goes, and whether it is there.

        Raises
        ------
        ConfigError
            What is there must not be overwritten.
        """
        source = source_of(item.name)
        whole = self._below(item, keep_extension=True)
        for output in dict.fromkeys((self._below(item, keep_extension=False), whole)):
            owner = self._owner(output, source)
            if owner is not None and owner != source[0]:
                continue  # of another recording
            self._taken[output] = source[0]
            path = self._folder / output
            task = Task(item, output, audio=audio_of(item, path, self._format), source=source)
            return replace(task, state=self._state(output, source))
        raise ConfigError(
            f"{label_of(item.name)}: its result would be {self._folder / whole}, which is that of "
            "another recording; name a folder that holds both instead of the files, or write this "
            "one into another --output"
        )

    def write(self, task: Task, data: bytes, warnings: int) -> None:
        """Write a result.

        Raises
        ------
        ConfigError
            It cannot be written.
        """
        path = self._folder / task.output
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._ledger.add(entry_of(task.output, task.source, self._made_by, data, warnings))
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror or error}): free some space or name "
                "another --output, and start again; what is whole is kept"
            ) from error
        write_whole(path, data)

    def _below(self, item: Item, *, keep_extension: bool) -> str:
        """Return the path of a result below the folder."""
        place = PurePath(item.below)
        name = place.name if keep_extension else place.stem
        suffix = self._format.suffix
        room = _MAX_NAME - len(os.fsencode(suffix))
        if len(os.fsencode(name)) > room:
            name = os.fsdecode(os.fsencode(name)[:room])
        return str(place.with_name(f"{name}{suffix}"))

    def _owner(self, output: str, source: tuple[str, int, int]) -> str | None:
        """Return the recording that has a place for its result."""
        if output in self._taken:
            return self._taken[output]
        entry = self._ledger.get(output)
        if entry is None or not (self._folder / output).exists():
            return None
        return source[0] if entry.is_of(*source) else entry.recording

    def _state(self, output: str, source: tuple[str, int, int]) -> State:
        path, entry = self._folder / output, self._ledger.get(output)
        if self._overwrite or not path.exists():
            return State.NEW
        if entry is None:
            raise ConfigError(
                f"{path}: exists, and is no result of airsift that {self._folder} knows; move it "
                "away, or replace it with --overwrite"
            )
        is_current = entry.made_by == self._made_by and (entry.size, entry.mtime_ns) == source[1:]
        if source[1] < 0 and not is_address(source[0]):
            is_current = False  # standard input is another one each time
        if is_current and entry.describes(path):
            return State.DAMAGED if entry.warnings else State.DONE
        if self._ledger.is_own(output, path):
            return State.NEW
        if is_current:  # somebody corrected it by hand
            return State.DONE
        raise ConfigError(
            f"{path}: was changed by somebody since airsift wrote it, and its recording or the "
            "settings have changed, too; move it away, or replace it with --overwrite"
        )


def audio_of(item: Item, path: Path, format: Format) -> str:  # noqa: A002 the user's word
    """Return the name of a recording in its result: seen from there, if the format holds a path."""
    if is_address(item.name) or not format.names_audio or item.name == "-":
        return label_of(item.name)
    return os.path.relpath(item.name, path.parent)


def source_of(name: str) -> tuple[str, int, int]:
    """Return a recording's path, size and time of change; -1 where it is no file."""
    if is_address(name) or name == "-":
        return label_of(name), -1, -1
    path = str(Path(name).absolute())
    try:
        status = Path(name).stat()
    except OSError:  # opening it says why
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns
