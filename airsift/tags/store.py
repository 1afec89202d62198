"""What was found in files, kept so that an interrupted check analyses only what is missing.

One line of JSON for each file, appended as it comes. A line that a kill has cut short is passed
over. A file counts as analysed if its size and its time of change are as they were, and the
settings too; of several lines for one file, the last one counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.tags.analysis import Content
from stream.lines import to_json, utf8

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from airsift.config import Config
    from airsift.json_types import JsonObject

_CONTENT = frozenset(field.name for field in fields(Content))
_VERSION = 1


def settings_key(config: Config, seconds: float) -> str:
    """Return a hash of all that the content of a file depends on, besides the file."""
    from airsift.networks import model_file

    with model_file(config).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    values: JsonObject = {
        "version": _VERSION,
        "seconds": seconds,
        "model": model,
        "smoothing": repr(config.smoothing),
    }
    return hashlib.sha256(to_json(values).encode()).hexdigest()[:16]


class Store:
    """The content of files, in a file of lines.

    Parameters
    ----------
    path : Path
        The file; it is made where it is not there.
    settings : str
        From `settings_key`; lines with another one are not used.

    Raises
    ------
    ConfigError
        It cannot be read or written, or is another kind of file.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self._path, self._settings = path, settings
        self._known: dict[tuple[str, int, int], Content] = {}
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            with os.fdopen(os.dup(self._handle), "rb") as file:
                data = file.read()
        except OSError as error:
            raise ConfigError(
                f"{path}: results cannot be kept there ({error.strerror}); name another file with "
                "--store"
            ) from error
        lines = data.split(b"\n")
        if data and not lines[0].startswith(b'{"airsift": "tags"'):
            os.close(self._handle)
            raise ConfigError(
                f"{path}: is no file of `airsift tags check`; name another one with --store"
            )
        for line in lines:
            self._read(line)
        # What a kill has cut short must not join the next line.
        self._joint = b"\n" if data and not data.endswith(b"\n") else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def get(self, path: Path) -> Content | None:
        """Return the content of a file; None if it is unknown, or the file was changed since."""
        try:
            return self._known.get(_identity(path))
        except OSError:
            return None  # reading it will say why

    def add(self, path: Path, content: Content) -> None:
        """Keep the content of a file.

        Raises
        ------
        ConfigError
            The disk is full.
        """
        name, size, changed = identity = _identity(path)
        self._known[identity] = content
        values: JsonObject = {
            "airsift": "tags",
            "settings": self._settings,
            "path": name,
            "size": size,
            "changed_ns": changed,
            **asdict(content),
        }
        line = self._joint + to_json(values).encode() + b"\n"
        try:
            # One call: lines of two processes that share the file do not mix.
            written = os.write(self._handle, line)
        except OSError as error:
            raise ConfigError(
                f"{self._path}: results cannot be written ({error.strerror}); free some space and "
                "start again; what is whole is kept"
            ) from error
        self._joint = b"" if written == len(line) else b"\n"

    def _read(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            if values["settings"] != self._settings:
                return
            identity = (str(values["path"]), int(values["size"]), int(values["changed_ns"]))
            content = {key: values[key] for key in _CONTENT}
        except (ValueError, KeyError, TypeError):
            return
        for key in ("speech_at", "music_at"):
            content[key] = tuple(content[key])
        self._known[identity] = Content(**content)


def _identity(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return utf8(str(path.absolute())), status.st_size, status.st_mtime_ns
