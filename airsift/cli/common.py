"""Shared by the commands: options, configuration, output and one-line errors."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.errors import ConfigError
from stream.lines import one_line
from stream.sinks.terminal import aside

if TYPE_CHECKING:
    from airsift.config import Config, Loaded

log = logging.getLogger(__name__)

DEBUG = "--debug"
# What requirements-edge.lock does not install of what the full one does.
LEFT_OUT = ("torch", "torchaudio", "nnAudio", "scipy")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file with the keys that differ from the defaults; default: your own, if any.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="section.key=value, over the file; may be repeated.",
        autocompletion=lambda incomplete: _keys(incomplete),
    ),
]


def _keys(incomplete: str) -> list[str]:
    from airsift.cli.completion import complete_keys

    return complete_keys(incomplete)


TrackOption = Annotated[
    str | None,
    typer.Option(
        "--track",
        metavar="N|LANGUAGE|TITLE",
        help="Which audio track of files that have several, counted from 1; else the default one.",
    ),
]


@dataclass(slots=True)
class Verbosity:
    """How much this process prints beside results: errors alone with `quiet`, more with `verbose`.

    Logs of airsift are lines on standard error: warnings, errors alone, or all of them.
    """

    quiet: bool = False
    verbose: bool = False

    @property
    def level(self) -> int:
        """Least level of what is logged."""
        return logging.ERROR if self.quiet else logging.DEBUG if self.verbose else logging.WARNING

    def set(self, *, quiet: bool = False, verbose: bool = False) -> None:
        """Set how much is printed from now on."""
        self.quiet, self.verbose = quiet, verbose
        logging.lastResort = Complaints(self.level)
        for package in ("airsift", "stream", "model", "fingerprint"):
            logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.NOTSET)


verbosity = Verbosity()


def load_config(path: Path | None, sets: list[str] | None) -> Config:
    """Return the merged configuration of a command; a service logs as ``--quiet`` says."""
    loaded = load_layers(path, sets)
    config = loaded.config
    if (verbosity.quiet or verbosity.verbose) and "watch.level" not in loaded.given:
        level = "error" if verbosity.quiet else "debug"
        config = config.model_copy(
            update={"watch": config.watch.model_copy(update={"level": level})}
        )
    return config


def load_layers(path: Path | None, sets: list[str] | None) -> Loaded:
    """Return the merged configuration, and where each value comes from.

    Without `path`, the user's own file is read, if there is one.
    """
    from airsift.config import load

    file = config_file(path)
    if file is not None:
        log.info("reads %s", file)
    return load(file, sets or [])


def config_file(path: Path | None) -> Path | None:
    """Return the configuration file that is read: `path`, else the user's own, if there is one."""
    from airsift.xdg import user_config

    if path is not None:
        return path
    try:
        file = user_config()
    except ConfigError:  # a user without a home directory has no file in it
        return None
    return file if file.is_file() else None


def report(error: BaseException) -> None:
    """Print an error as one line, with ``--debug`` after its traceback."""
    if DEBUG in sys.argv:
        for line in "".join(traceback.format_exception(error)).splitlines():
            print(one_line(line), file=sys.stderr)
    complain(f"airsift: {in_words(error)}")


def complain(message: str) -> None:
    """Print a message to standard error as one line."""
    with aside(sys.stderr):
        print(one_line(" ".join(message.split())), file=sys.stderr, flush=True)


def inform(message: str) -> None:
    """Print a message that is neither result nor error, unless ``--quiet`` was given."""
    if not verbosity.quiet:
        complain(message)


class Complaints(logging.Handler):  # logging asks for one
    """Prints warnings of libraries and of airsift, for commands without a log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record's message as one line."""
        complain(f"airsift: {record.getMessage()}")


def say(line: str) -> None:
    """Print one line of text to standard output."""
    put(one_line(line))


def put(line: str) -> None:
    """Print one line to standard output unchanged."""
    with aside(sys.stdout):
        print(line, flush=True)


def complete_streams() -> None:
    """Replace closed standard streams.

    Writing to a closed standard output is an error; messages for a closed standard error are
    dropped. Characters that the terminal lacks become question marks.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def drop_output() -> None:
    """Drop unwritten output, so that Python does not fail to write it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_for_machines() -> None:
    """Write UTF-8 to standard output, whatever the locale."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.writable():
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")


def in_words(error: BaseException) -> str:
    """Return the problem and its remedy, also for errors of the system."""
    if isinstance(error, io.UnsupportedOperation):
        return "standard output is closed, but results go there; send them to a file with > FILE"
    if isinstance(error, ModuleNotFoundError):
        if error.name in LEFT_OUT:
            return (
                f"this needs {error.name}, which the installation without torch leaves out; "
                "install requirements.lock, for example with `make install`"
            )
        return f"ModuleNotFoundError: {error}; --debug shows where this happened"
    if not isinstance(error, OSError):
        return str(error)
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}; check the path and its permissions"
    if error.errno in _FULL:
        return f"output cannot be written ({reason}); free some space, or write elsewhere"
    return f"{reason} ({type(error).__name__}); --debug shows where this happened"
