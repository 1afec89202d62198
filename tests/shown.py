"""What pages show: blocks of code, and commands of airsift with the options that they take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import typer

from airsift.cli.app import make_app


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@cache
def _root() -> Any:
    return typer.main.get_command(make_app())


@cache
def tree() -> dict[tuple[str, ...], set[str]]:
    """Return every command of airsift's, by its words, with its options."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        found[words] = {each for each in options if each.startswith("-")} | {"--help"}
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(_root(), ())
    return found


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command of airsift's in code, in a block or within a line."""
    shown = [*blocks(text, r"\w*"), *re.findall(r"`([^`\n]*(?:\n[^`\n]*)?)`", text)]
    shown += [re.sub(r"^#", "", line) for line in re.findall(r"^#.*$", text, re.M)]
    for code in shown:
        for line in code.replace("\\\n", " ").splitlines():
            match = re.search(r"(?:^|[\s(])(airsift(?: catalogue)? [a-z].*)$", line)
            if match:
                yield shlex.split(match[1].split("#")[0].split("|")[0].replace("'", " "))


def lines(block: str) -> Iterator[list[str]]:
    """Yield the words of each line of a shell's block, without its comment."""
    for line in block.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def parse(words: list[str]) -> None:
    """Read a command's words as the command line does, without running it.

    Raises
    ------
    Exception
        There is no such command, argument, option or value.
    """
    command = _root()
    rest = words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    with suppress(typer.Exit):  # --help
        command.make_context(command.name, rest)
