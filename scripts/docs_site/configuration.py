"""The reference of the configuration: each key of configs/default.toml, with its type and range."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from airsift.config import Config
from airsift.defaults import default_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def markdown() -> str:
    """Return a table for each section, in the order of the file, with what its comments say."""
    schema = Config.model_json_schema()
    return "\n".join(_sections(default_file().read_text(encoding="utf-8"), schema))


def _sections(text: str, schema: dict[str, Any]) -> Iterator[str]:
    section, said = "", list[str]()
    header = text.partition("\n[")[0]
    for line in text.removeprefix(header).splitlines():
        if found := re.match(r"\[([\w.]+)\]\s*(?:# (.*))?$", line):
            section = found[1]
            yield f"\n## {section}\n"
            about = " ".join([*said, found[2] or ""]).strip()
            yield f"{_sentence(about)}\n" if about else ""
            yield "| key | default | values | |"
            yield "|---|---|---|---|"
            said = []
        elif line.startswith("# "):
            said.append(line[2:])
        elif found := re.match(r"(\w+) = ", line):
            name = found[1]
            value, comment = _value(line)
            values = _values(schema, [*section.split("."), name])
            yield f"| `{name}` | `{json.dumps(value)}` | {_cell(values)} | {_cell(comment)} |"


def _value(line: str) -> tuple[object, str]:
    """Return the value of a line of the file, and its comment; a ``#`` in a text is no comment."""
    marks = [match.start() for match in re.finditer("#", line)]
    for end in [*marks, len(line)]:
        try:
            [value] = tomllib.loads(line[:end]).values()
        except tomllib.TOMLDecodeError:
            continue
        return value, line[end + 1 :].strip()
    raise ValueError(f"{line!r} is no line of TOML")


def _values(schema: dict[str, Any], path: list[str]) -> str:
    """Return what a key may be, in words."""
    found: dict[str, Any] = schema
    for name in path:
        found = _resolved(found, schema)["properties"][name]
    found = _resolved(found, schema)
    if found.get("type") == "array":
        return "list"
    if "enum" in found:
        return ", ".join(f"`{json.dumps(each)}`" for each in found["enum"])
    if found.get("type") == "object" or "properties" in found:
        return "table"
    kind = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    limits = [f"{sign} {found[name]:g}" for name, sign in _LIMITS.items() if name in found]
    return " ".join([kind.get(found.get("type", ""), "text"), ", ".join(limits)]).strip()


def _resolved(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in found:
        found = schema["$defs"][found["$ref"].rpartition("/")[2]]
    return found


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
