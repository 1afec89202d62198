"""``airsift doctor``: whether what is installed and configured works on this machine."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from airsift import __version__
from airsift.cli.common import ConfigOption, SetOption, config_file, put, say, verbosity
from stream.lines import one_line, to_json
from stream.sinks import terminal

if TYPE_CHECKING:
    from airsift.doctor.finding import Finding

SCHEMA = "airsift.doctor/1"
_COLOURS = {"ok": "32", "warning": "33", "problem": "31"}
_INDENT = 24  # columns of status and name
_NARROW = 60  # in fewer columns a text is below its name


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Look at the installation, the machine and what the configuration needs, and say what to do.

    Libraries and extras, processor, memory, disks, clock, networks and their hashes, both backends
    beside each other, GPU, speed, microphones, and the broker if one is configured. Exit code 1 if
    something does not work; with --verbose, versions and other details.
    """
    from airsift.doctor.checkup import checkup

    findings: list[Finding] = []
    if not as_json:
        say(f"airsift {__version__} on {platform.node() or 'this machine'}")
    for finding in checkup(config_file(config), sets or []):
        findings.append(finding)
        if not as_json:
            for line in lines_of(finding, details=verbosity.verbose):
                put(line)
    counts = {
        status: sum(each.status.value == status for each in findings)
        for status in ("problem", "warning")
    }
    if as_json:
        put(
            to_json(
                {
                    "schema": SCHEMA,
                    "version": __version__,
                    "problems": counts["problem"],
                    "warnings": counts["warning"],
                    "checks": [each.to_dict() for each in findings],
                }
            )
        )
    else:
        say(", ".join(_counted(number, status) for status, number in counts.items()))
    if counts["problem"]:
        raise typer.Exit(1)


def lines_of(finding: Finding, *, details: bool = False) -> list[str]:
    """Return a finding as lines: of the terminal's width there, as one elsewhere."""
    status = f"{finding.status.value:<9}"
    if _in_colour():
        status = f"\x1b[{_COLOURS[finding.status.value]}m{status}\x1b[0m"
    head = f"{status}{finding.check:<{_INDENT - 9}}"
    texts = [finding.text]
    if details and finding.details:
        texts.append("; ".join(f"{key} {_shown(value)}" for key, value in finding.details.items()))
    if finding.way_out:
        texts.append(f"-> {finding.way_out}")
    columns = terminal.size_of(sys.stdout)[0] if terminal.is_terminal(sys.stdout) else 0
    narrow = 0 < columns < _NARROW
    indent = 2 if narrow else _INDENT
    lines = [line for text in texts for line in _wrapped(one_line(text), columns - indent - 1)]
    if narrow:
        return [head.rstrip(), *(f"{'':{indent}}{line}" for line in lines)]
    return [head + lines[0], *(f"{'':{indent}}{line}" for line in lines[1:])]


def _wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text; one where there is no width to keep to."""
    if width <= 0:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _in_colour() -> bool:
    return terminal.can_draw(sys.stdout) and not os.environ.get("NO_COLOR")


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
