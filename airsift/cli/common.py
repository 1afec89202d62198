"""What the commands share: options, the loaded configuration, one-line errors."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from airsift import config as configuration
from stream.lines import one_line
from stream.sinks.terminal import aside

DEBUG = "--debug"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with the keys that differ from the defaults."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.key=value, over the file; may be repeated."),
]

TrackOption = Annotated[
    str | None,
    typer.Option(
        "--track",
        metavar="N|LANGUAGE|TITLE",
        help="Which audio track of files that have several, counted from 1; else the default one.",
    ),
]


def load_config(path: Path | None, sets: list[str] | None) -> configuration.Config:
    """Return the merged configuration of a command."""
    return configuration.load(path, sets or []).config


def report(error: BaseException) -> None:
    """Print an error as one line; with its traceback where ``--debug`` asks for it."""
    if DEBUG in sys.argv:
        for line in "".join(traceback.format_exception(error)).splitlines():
            print(one_line(line), file=sys.stderr)
    complain(f"airsift: {in_words(error)}")


def complain(message: str) -> None:
    """Print one line to standard error, however many the message has."""
    with aside(sys.stderr):
        print(one_line(" ".join(message.split())), file=sys.stderr, flush=True)


class Complaints(logging.Handler):  # logging asks for one
    """What libraries and airsift's own parts warn of, where a command has no log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record's message as one line."""
        complain(f"airsift: {record.getMessage()}")


def say(line: str) -> None:
    """Print one line for people to standard output."""
    put(one_line(line))


def put(line: str) -> None:
    """Print one line to standard output as it is, the same to a terminal as to a pipe."""
    with aside(sys.stdout):
        print(line, flush=True)


def complete_streams() -> None:
    """Put something in the place of standard streams that are closed.

    What would be written to a closed standard output is an error; a message without a
    standard error is nobody's. Characters that the terminal lacks become question marks.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def drop_output() -> None:
    """Forget what standard output did not take, so that Python does not try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_for_machines() -> None:
    """Write UTF-8 to standard output, whatever the locale."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.writable():
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")


def in_words(error: BaseException) -> str:
    """Return what is wrong and what to do, also where the system says only the first."""
    if isinstance(error, io.UnsupportedOperation):
        return "standard output is closed, but results go there; send them to a file with > FILE"
    if not isinstance(error, OSError):
        return str(error)
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}; check the path and its permissions"
    if error.errno in _FULL:
        return f"output cannot be written ({reason}); free some space, or write elsewhere"
    return f"{reason} ({type(error).__name__}); --debug shows where this happened"
