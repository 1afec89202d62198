"""Inputs of ``segment`` and ``classify``: files, standard input, and files at web addresses."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.errors import SourceError
from airsift.inputs import is_address, label_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from stream.runner import Stop

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Audio or video files of any format, or their http:// and https:// addresses; - is "
        "standard input.",
    ),
]
_STOP_S = 5.0  # to process and write what was read


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
        It is an address, or standard input.
    """
    if is_address(name):
        raise SourceError(
            f"{label_of(name)}: only `segment`, `classify`, `plot`, `run` and `publish` read "
            "addresses, and --series those of feeds; download the file, and give its path"
        )
    if name == "-":
        raise SourceError(
            "-: standard input is read once, and here a file is read more often; write it to a "
            "file, and give its path"
        )
    return Path(name)
