"""The reference of events: each JSON Schema of docs/schemas as a table, with its topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream.kafka.settings import TopicSettings

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


def markdown() -> str:
    """Return a section for each kind of event, in the order of the topics."""
    topics = TopicSettings.default().events
    return "\n".join(_section(kind, topic) for kind, topic in topics.items())


def _section(kind: str, topic: str) -> str:
    schema = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    rows = "\n".join(
        f"| `{name}` | {_type(field)} | {_about(field)} |"
        for name, field in schema["properties"].items()
    )
    return (
        f"## {kind}\n\n{schema['description']} Topic `{topic}`, "
        f"[{kind}.json](../schemas/{kind}.json).\n\n| field | | |\n|---|---|---|\n{rows}\n"
    )


def _type(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(each)}`" for each in field["enum"])
    found = field.get("type", "")
    types = found if isinstance(found, list) else [found]
    limits = [f"{field[name]:g}" for name in ("minimum", "maximum") if name in field]
    if len(limits) == 2:
        return f"{' or '.join(types)}, {' to '.join(limits)}"
    return " or ".join(types)


def _about(field: dict[str, Any]) -> str:
    return str(field.get("description", "")).replace("|", "\\|")
