"""Options that every command has, before or behind its name."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from airsift.cli.common import DEBUG, verbosity

PANEL = "Options of every command"


def _options(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=lambda given: _be_quiet(given=given),
            expose_value=False,
            is_eager=True,
            rich_help_panel=PANEL,
            help="Print results and errors alone.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            callback=lambda given: _be_verbose(given=given),
            expose_value=False,
            is_eager=True,
            rich_help_panel=PANEL,
            help="Also print what is loaded, and what it took.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            DEBUG,
            expose_value=False,
            rich_help_panel=PANEL,
            help="Show the traceback of an error.",
        ),
    ] = False,
) -> None:
    """Do nothing: these options have callbacks."""


def _be_quiet(*, given: bool) -> None:
    if given:
        _refuse_both(wanted=verbosity.verbose)
        verbosity.set(quiet=True)


def _be_verbose(*, given: bool) -> None:
    if given:
        _refuse_both(wanted=verbosity.quiet)
        verbosity.set(verbose=True)


def _refuse_both(*, wanted: bool) -> None:
    if wanted:
        raise typer.BadParameter("--quiet and --verbose exclude each other: leave one out")


@cache
def _parameters() -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(_options)
    return typer.main.get_command(app).params


class Command(TyperCommand):
    """A command with the options of every command."""

    def __init__(self, name: str | None, *, params: list[Any] | None = None, **rest: Any) -> None:
        super().__init__(name, params=[*(params or []), *_parameters()], **rest)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; an error has no words of pydantic's, which checks the choices."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


class Group(TyperGroup):
    """A group of commands with the options of every command."""

    def __init__(self, *, params: list[Any] | None = None, **rest: Any) -> None:
        super().__init__(params=[*(params or []), *_parameters()], **rest)


def give_options(app: typer.Typer) -> None:
    """Let every command of `app`, and of the groups within it, have them."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            give_options(group.typer_instance)
