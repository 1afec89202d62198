"""Inputs of ``segment`` and ``classify``: files, standard input, and files at web addresses."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.errors import SourceError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from airsift.cli.web_input import UrlFile
    from airsift.config import Config
    from stream.runner import Stop
    from stream.sources.file import FileSource

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Audio or video files of any format, or their http:// and https:// addresses; - is "
        "standard input.",
    ),
]
_STOP_S = 5.0  # to process and write what was read
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_address(name: str) -> bool:
    """Return whether an input is a web address; a file of such a name needs ``./`` in front."""
    return bool(_SCHEME.match(name))


def open_input(
    name: str, config: Config, stop: Stop, track: str | None = None
) -> FileSource | UrlFile:
    """Open one file; its station is the given name, for an address without login and query.

    A name that begins with a scheme and ``://`` is an address; a file of that name needs ``./`` in
    front.

    Raises
    ------
    AirsiftError
        It cannot be opened.
    """
    if is_address(name):
        from airsift.cli.web_input import UrlFile

        return UrlFile(name, config, stop, track)
    from stream.sources.file import FileSource

    path = Path(name)
    return FileSource(path, str(path), config.file, track=track)


def ending_on_request(stop: Stop) -> AbstractContextManager[None]:
    """End the process if a read still waits after `stop` was requested.

    A read from a pipe without a writer waits for ever.
    """
    from airsift.shutdown import shutdown_deadline

    return shutdown_deadline(stop, _STOP_S, lambda _: end_interrupted())


def end_interrupted() -> None:
    """End the process at once with the exit code of Ctrl-C, and restore the terminal."""
    from stream.sinks.terminal import give_back

    give_back()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(130)


def local_path(name: str) -> Path:
    """Return the path of a local file, for commands that read it more than once.

    Raises
    ------
    SourceError
        It is an address.
    """
    if is_address(name):
        raise SourceError(
            f"{label_of(name)}: only `segment`, `classify`, `run` and `publish` read addresses; "
            "download the file, and give its path"
        )
    return Path(name)


def label_of(name: str) -> str:
    """Return the name of an input for messages and rows, without an address's login and query."""
    if not is_address(name):
        return str(Path(name))
    from stream.sources.web_address import public_name

    return public_name(name)
