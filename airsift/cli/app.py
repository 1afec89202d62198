"""The command ``airsift`` and its subcommands."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from importlib import import_module
from typing import Annotated

import typer

from airsift.cli import completion
from airsift.cli.common import (
    LEFT_OUT,
    complain,
    complete_streams,
    drop_output,
    report,
    verbosity,
)
from airsift.cli.everywhere import Command, Group, give_options
from airsift.cli.exit_codes import ExitCode
from airsift.errors import AirsiftError
from airsift.shutdown import exit_fast

# In fewer columns, the boxes of the help would cut the names of options.
_BOXES = 60
_LEAVE_S = 2.0  # a child that was told to end is waited for so long

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
    "doctor": ("doctor", "doctor"),
    "config": ("config", "show"),
    "completion": ("completion", "completion"),
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
        cls=Group,
        rich_markup_mode="markdown" if shutil.get_terminal_size().columns >= _BOXES else None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in [command] if command in _COMMANDS else _COMMANDS:
        module, attribute = _COMMANDS[name]
        found = getattr(import_module(f"airsift.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            give_options(found)
            app.add_typer(found, name=name, cls=Group)
        else:
            app.command(name=name, cls=Command)(found)
    return app


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from airsift.cli.version import version_lines

        print("\n".join(version_lines()))
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
            help="Print the versions of airsift, of its libraries and networks.",
        ),
    ] = False,
) -> None:
    """Find speech and music in live radio, podcasts and files, and identify the music."""


def main() -> None:
    """Run the command line; an error is one line, and an exit code of `ExitCode`."""
    complete_streams()
    verbosity.set()
    began = time.monotonic()
    arguments = sys.argv[1:]
    code: int
    try:
        make_app(_command(arguments))(arguments)
        code = ExitCode.DONE
    except (AirsiftError, OSError) as error:
        report(error)
        drop_output()
        code = ExitCode.FAILED
    except ModuleNotFoundError as error:
        report(error)
        drop_output()
        code = ExitCode.FAILED if error.name in LEFT_OUT else ExitCode.BUG
    except Exception as error:  # a bug of airsift, still reported in one line
        report(RuntimeError(f"{type(error).__name__}: {error}; --debug shows where this happened"))
        drop_output()
        code = ExitCode.BUG
    except SystemExit as end:  # the end of every command
        if not isinstance(end.code, int | None):
            raise
        code = end.code or ExitCode.DONE
    if verbosity.verbose:
        complain(f"airsift: {_cost(time.monotonic() - began)}")
    exit_fast(code)
    sys.exit(code)


def _command(arguments: list[str]) -> str:
    """Return the command that is called or, for a shell, that is being typed; "" if it is none."""
    if completion.VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
        return completion.command_being_typed()
    return next((word for word in arguments if not word.startswith("-")), "")


def _cost(seconds: float) -> str:
    """Return what this process used, of its children too."""
    if processes := sys.modules.get("multiprocessing"):
        for child in processes.active_children():
            child.join(_LEAVE_S)  # only the cost of those that have ended is known
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in used)
    memory = max(each.ru_maxrss for each in used) / 1024  # KiB on Linux
    return f"took {seconds:.1f} s, {cpu_s:.1f} s of CPU, {memory:.0f} MB of memory"
