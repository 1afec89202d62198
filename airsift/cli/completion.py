"""``airsift completion``, and what a shell is answered when Tab is pressed.

The script of a shell calls airsift with the words of the line in the environment; Typer answers
with the names of commands, options and choices, and the functions here with values.
"""

from __future__ import annotations

import enum
import os
import shlex
import tomllib
from contextlib import closing
from typing import Annotated

import typer

from airsift.cli.common import put

VARIABLE = "_AIRSIFT_COMPLETE"
_WORDS = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # of bash, of the others

# Typer's own script for bash does not know that bash breaks words at `=`, and puts a space behind
# a key that is to be followed by its value.
_BASH = f"""\
_airsift_completion() {{
    local IFS=$'\\n' words=() word index=0 glued=
    for word in "${{COMP_WORDS[@]:0:COMP_CWORD+1}}"; do
        if [[ $word == "=" && ${{#words[@]}} -gt 1 ]]; then
            words[index-1]+="="; glued=1
        elif [[ -n $glued ]]; then
            words[index-1]+=$word; glued=
        else
            words[index]=$word; index=$((index+1))
        fi
    done
    COMPREPLY=( $(env COMP_WORDS="${{words[*]}}" COMP_CWORD=$((index-1)) \\
        {VARIABLE}=complete_bash "$1" 2>/dev/null) )
    COMPREPLY=("${{COMPREPLY[@]// /\\\\ }}")
    [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
    return 0
}}
complete -o default -F _airsift_completion airsift
"""


class Shell(enum.StrEnum):
    """A shell that can complete airsift's command line."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that you type into.")],
) -> None:
    """Print a script that lets a shell complete commands, options and values.

    For bash, put `source <(airsift completion bash)` into ~/.bashrc; for zsh,
    `source <(airsift completion zsh)` into ~/.zshrc, behind `compinit`; for fish, run
    `airsift completion fish > ~/.config/fish/completions/airsift.fish` once.
    """
    put(script_of(shell).rstrip("\n"))


def script_of(shell: Shell) -> str:
    """Return the script for a shell."""
    if shell is Shell.bash:
        return _BASH
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    return get_completion_script(prog_name="airsift", complete_var=VARIABLE, shell=shell.value)


def command_being_typed() -> str:
    """Return the command of the line that a shell asks about; "" while its name is being typed."""
    text = next((os.environ[name] for name in _WORDS if name in os.environ), "")
    try:
        words = shlex.split(text)
    except ValueError:  # a quotation mark that is still open
        words = text.split()
    if "COMP_CWORD" in os.environ:  # bash sends the word at the cursor, too, if there is one
        words = words[: int(os.environ["COMP_CWORD"])]
    elif not text.endswith((" ", "\n")):
        words = words[:-1]
    return next((word for word in words[1:] if not word.startswith("-")), "")


def complete_keys(incomplete: str) -> list[str]:
    """Return the keys of the configuration that begin so, with the sign before their value."""
    from airsift.defaults import default_file

    if "=" in incomplete:
        return []
    keys: list[str] = []
    tables = [("", tomllib.loads(default_file().read_text(encoding="utf-8")))]
    while tables:
        prefix, table = tables.pop(0)
        for name, value in table.items():
            if isinstance(value, dict):
                tables.append((f"{prefix}{name}.", value))
            else:
                keys.append(f"{prefix}{name}=")
    return sorted(key for key in keys if key.startswith(incomplete))


def complete_stations(context: typer.Context, incomplete: str) -> list[str]:
    """Return the stations of a history in a file of SQLite, if the line or a file names one."""
    import sqlite3

    from airsift.cli.common import load_config
    from airsift.errors import AirsiftError

    try:
        given = context.params
        url = load_config(given.get("config"), given.get("sets")).database.url.get_secret_value()
        if "://" in url:
            return []
        with closing(sqlite3.connect(f"file:{url}?mode=ro", uri=True, timeout=0.2)) as database:
            rows = database.execute("SELECT DISTINCT station FROM airsift_series ORDER BY station")
            return [station for (station,) in rows if station.startswith(incomplete)]
    except (AirsiftError, OSError, sqlite3.Error):
        return []  # whoever presses Tab can do nothing about it
