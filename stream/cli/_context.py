"""What the commands share: options, the loaded configuration, one-line errors."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from stream import config as configuration

DEBUG = "--debug"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with the keys that differ from the defaults."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.key=value, over the file; may be repeated."),
]


def load_config(path: Path | None, sets: list[str] | None) -> configuration.Config:
    """Return the merged configuration of a command."""
    return configuration.load(path, sets or []).config


def report(error: BaseException) -> None:
    """Print an error as one line; with its traceback where ``--debug`` asks for it."""
    if DEBUG in sys.argv:
        traceback.print_exception(error)
    complain(f"airsift: {error}")


def complain(message: str) -> None:
    """Print one line to standard error, however many the message has."""
    print(" ".join(message.split()), file=sys.stderr)
