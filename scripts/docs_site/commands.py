"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer

from airsift.cli.app import make_app

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of Typer's own copy of Click, which has no public name.
Command = Any
Parameter = Any


def markdown() -> str:
    """Return a section for each command, with its arguments and options."""
    return "\n".join(_sections(typer.main.get_command(make_app()), ["airsift"]))


def _sections(command: Command, words: list[str]) -> Iterator[str]:
    context = command.make_context(" ".join(words), [], resilient_parsing=True)
    inner = getattr(command, "commands", {})
    if len(words) > 1:
        yield f"{'#' * min(len(words), 4)} {' '.join(words)}\n"
        yield f"{inspect.cleandoc(command.help or '')}\n"
    else:
        yield "`--debug` anywhere shows the traceback of an error.\n"
    if not inner:
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        yield f"```text\n{usage}\n```\n"
    rows = [_row(each, context) for each in command.params if not each.hidden]
    if rows:
        yield "\n".join(["| | default | |", "|---|---|---|", *rows, ""])
    for name, each in inner.items():
        if not each.hidden:
            yield from _sections(each, [*words, name])


def _row(parameter: Parameter, context: Any) -> str:
    if parameter.param_type_name == "argument":
        names = f"`{parameter.display_name_raw}`"
    else:
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
        if not parameter.is_flag:
            names += f" `{parameter.display_type(context)}`"
    default = "required" if parameter.required else _default(parameter.default)
    about = " ".join((parameter.help or "").split())
    return f"| {_cell(names)} | {_cell(default)} | {_cell(about)} |"


def _default(value: object) -> str:
    if value in (None, False, ()) or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
