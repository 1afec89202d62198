"""Write a manual page for airsift and one for each command, from the texts of its help.

    python scripts/man_pages.py dist/man

The pages say the same on every day: their date is that of the release in CHANGELOG.md.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ["COLUMNS"] = "80"

import typer  # noqa: E402 - the folder of the packages comes first

from airsift import __version__  # noqa: E402
from airsift.cli.app import make_app  # noqa: E402
from airsift.cli.everywhere import PANEL  # noqa: E402
from airsift.cli.exit_codes import ExitCode, meaning_of  # noqa: E402

_ENVIRONMENT = {
    "AIRSIFT_SECTION__KEY": "A value of the configuration, over files; --set is over both.",
    "XDG_CONFIG_HOME, XDG_CACHE_HOME": "Where airsift/airsift.toml and the cache are looked for.",
    "NO_COLOR, FORCE_COLOR": "No colours, or colours in a pipe too.",
}
_FILES = {"~/.config/airsift/airsift.toml": "Your configuration, read without --config."}


def main() -> None:
    """Write the pages into the folder that is named, and print how many there are."""
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/man_pages.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("airsift*.1"):
        old.unlink()
    written = pages()
    for name, text in written.items():
        (folder / f"{name}.1").write_text(text, encoding="utf-8")
    print(f"{folder}: {len(written)} manual pages")


def pages() -> dict[str, str]:
    """Return the text of every page by its name, as ``airsift-catalogue-add``."""
    command = typer.main.get_command(make_app())
    context = command.make_context("airsift", [], resilient_parsing=True)
    return dict(_pages(command, context, ["airsift"]))


def _pages(command: Any, context: Any, words: list[str]) -> Iterator[tuple[str, str]]:
    yield "-".join(words), "\n".join(_lines(command, context, words)) + "\n"
    for name, inner in getattr(command, "commands", {}).items():
        below = inner.make_context(name, [], parent=context, resilient_parsing=True)
        yield from _pages(inner, below, [*words, name])


def _lines(command: Any, context: Any, words: list[str]) -> Iterator[str]:
    name = "-".join(words)
    summary, _, rest = (command.help or "").partition("\n\n")
    one_line = " ".join(summary.split()).rstrip(".")
    yield f'.TH "{name.upper()}" 1 {_date()} "airsift {__version__}" "User Commands"'
    yield from [".SH NAME", f"{_text(name)} \\- {_text(one_line)}"]
    usage = " ".join(command.collect_usage_pieces(context))
    yield from [".SH SYNOPSIS", f".B {' '.join(words)}", _text(usage)]
    yield from [".SH DESCRIPTION", *_paragraphs(summary), *_paragraphs(rest, first=False)]
    panels: dict[str, list[str]] = {"ARGUMENTS": [], "OPTIONS": [], PANEL.upper(): []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            is_option = parameter.param_type_name == "option"
            panel = getattr(parameter, "rich_help_panel", None) or "options"
            panels[panel.upper() if is_option else "ARGUMENTS"] += _item(*record)
    inner = getattr(command, "commands", {})
    commands = [line for each, found in inner.items() for line in _command(words, each, found)]
    for title, items in [("COMMANDS", commands), *panels.items()]:
        if items:
            yield from [f".SH {title}", *items]
    codes = {str(code.value): meaning_of(code) for code in ExitCode}
    for title, table in [("EXIT STATUS", codes), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)]:
        yield from [f".SH {title}", *(line for pair in table.items() for line in _item(*pair))]
    others = [words[:-1]] if words[:-1] else []
    others += [[*words, each] for each in inner]
    if others:
        yield from [".SH SEE ALSO", ",\n".join(f".BR {_text('-'.join(o))} (1)" for o in others)]


def _command(words: list[str], name: str, command: Any) -> list[str]:
    text = " ".join((command.help or "").partition("\n\n")[0].split())
    return _item(" ".join([*words, name]), text)


def _item(term: str, text: str) -> list[str]:
    return [".TP", f".B {_text(term)}", *(_paragraphs(text) or [_text("-")])]


def _paragraphs(text: str, *, first: bool = True) -> list[str]:
    """Return paragraphs of Markdown as lines of a page; what is code there is bold."""
    lines = []
    for paragraph in filter(None, (" ".join(each.split()) for each in text.split("\n\n"))):
        if lines or not first:
            lines.append(".PP")
        marked = re.sub(r"`([^`]*)`", "\\\\fB\\1\\\\fR", _text(paragraph))
        lines += [line for line in re.sub(r"(?<=[.;:]) ", "\n", marked).split("\n") if line]
    return lines


def _text(text: str) -> str:
    """Escape what the formatter would obey; a quotation mark or a sign begins no request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti")
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def _date() -> str:
    found = re.search(
        rf"^## \[{re.escape(__version__)}\] - (\d{{4}}-\d\d-\d\d)$",
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.M,
    )
    if found is not None:
        return found[1]
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(float(epoch or 0), UTC).date().isoformat()


if __name__ == "__main__":
    main()
