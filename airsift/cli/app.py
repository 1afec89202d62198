"""The command ``airsift`` and its subcommands."""

from __future__ import annotations

import logging
import shutil
import sys
from importlib import import_module
from typing import Annotated

import typer

from airsift import __version__
from airsift.cli.common import (
    DEBUG,
    LEFT_OUT,
    Complaints,
    complete_streams,
    drop_output,
    report,
)
from airsift.errors import AirsiftError
from airsift.shutdown import exit_fast

# In fewer columns, the boxes of the help would cut the names of options.
_BOXES = 60

# Each command by the module and the function that it is, in the order of the help. A function
# named app is a group of commands.
_COMMANDS = {
    "segment": ("segment", "segment"),
    "classify": ("classify", "classify"),
    "plot": ("plot", "plot"),
    "chapters": ("chapters", "chapters"),
    "cut": ("cut", "cut"),
    "repeats": ("repeats", "repeats"),
    "listen": ("listen", "listen"),
    "devices": ("devices", "devices"),
    "run": ("run", "run"),
    "worker": ("worker", "worker"),
    "broker": ("broker", "broker"),
    "publish": ("publish", "publish"),
    "tail": ("tail", "tail"),
    "trace": ("trace", "trace"),
    "backfill": ("backfill", "backfill"),
    "history": ("history", "app"),
    "web": ("web", "web"),
    "report": ("report", "report"),
    "deadletter": ("deadletter", "app"),
    "catalogue": ("catalogue", "app"),
    "stations": ("stations", "app"),
    "alarms": ("alarms", "app"),
    "tags": ("tags", "app"),
    "corpus": ("corpus", "app"),
    "train": ("train", "train"),
    "evaluate": ("evaluate", "evaluate"),
    "export": ("train", "export"),
    "experiment": ("experiment", "experiment"),
    "explain": ("explain", "explain"),
    "demo": ("demo", "demo"),
    "config": ("config", "show"),
}


def make_app(command: str = "") -> typer.Typer:
    """Return the command line.

    Parameters
    ----------
    command : str
        The one that will be run: the others are then neither imported nor built, which would take
        longer than a short file. All of them where it is none.
    """
    app = typer.Typer(
        name="airsift",
        rich_markup_mode="markdown" if shutil.get_terminal_size().columns >= _BOXES else None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog="--debug anywhere shows the traceback of an error.",
    )
    app.callback()(root)
    for name in [command] if command in _COMMANDS else _COMMANDS:
        module, attribute = _COMMANDS[name]
        found = getattr(import_module(f"airsift.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name=name)(found)
    return app


def _print_version(*, wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Find speech and music in live radio, podcasts and files, and identify the music."""


def main() -> None:
    """Run the command line; an error is one line, and exit code 1."""
    complete_streams()
    logging.lastResort = Complaints(logging.WARNING)
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        make_app(arguments[0] if arguments else "")(arguments)
    except (AirsiftError, OSError) as error:
        report(error)
        drop_output()
        code = 1
    except ModuleNotFoundError as error:
        report(error)
        drop_output()
        code = 1 if error.name in LEFT_OUT else 70
    except Exception as error:  # a bug of airsift, still reported in one line
        report(RuntimeError(f"{type(error).__name__}: {error}; --debug shows where this happened"))
        drop_output()
        code = 70
    except SystemExit as end:  # the end of every command
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    exit_fast(code)
    sys.exit(code)
