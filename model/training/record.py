"""What a training really used, recorded by itself: for the model file, the card and whoever asks.

A record is plain values, and holds what was measured or read during the run: sources with their
hashes, licences as far as somebody stated them, groups and hours of each class, settings, seeds,
versions, the state that was kept. Nothing in it is a text that was written before the run.
"""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import airsift
from model.corpus import cache, feature_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from model.corpus.feature_store import Bank
    from model.corpus.recordings import Recording
    from model.corpus.sources import Split
    from model.training.loop import Settings
    from model.training.validation import Validation

SCHEMA = "airsift.training/1"
COLUMNS_PER_HOUR = 50 * 3600
UNSTATED = "not stated"


@dataclass(frozen=True, slots=True)
class Used:
    """What a training is given.

    Parameters
    ----------
    recordings : mapping of Split to sequence of Recording
        Those of the training and the validation split.
    sources : mapping of str to mapping
        What is known of each source: see `model.corpus.recordings.sources`.
    bank : Bank
        The columns that windows are drawn from.
    held_out : Validation
        The windows that chose the state to keep.
    labels : sequence of str
        Names of the outputs.
    classes : mapping of str to sequence of int
        The outputs that each class switches on.
    config : mapping of str to str
        Name, SHA-256 and statement of a user's configuration; empty where there was none.
    """

    recordings: Mapping[Split, Sequence[Recording]]
    sources: Mapping[str, Mapping[str, Any]]
    bank: Bank
    held_out: Validation
    labels: Sequence[str]
    classes: Mapping[str, Sequence[int]]
    config: Mapping[str, str]


def of_training(used: Used, settings: Settings, state: Mapping[str, Any]) -> dict[str, Any]:
    """Make the record of a training that has ended.

    Parameters
    ----------
    used : Used
        What it was given.
    settings : Settings
        How it trained.
    state : mapping
        What `model.training.checkpoint` stored last.
    """
    named = {each.source for rows in used.recordings.values() for each in rows}
    dropped = [used.bank.streams[place].group for place in state["dropped"]]
    kept = min(state["validations"], key=lambda row: row[2])
    return {
        "schema": SCHEMA,
        "airsift": airsift.__version__,
        "python": platform.python_version(),
        "libraries": cache.libraries(*feature_store.LIBRARIES),
        "labels": list(used.labels),
        "classes": {name: [used.labels[i] for i in on] for name, on in used.classes.items()},
        "settings": asdict(settings),
        "bank seed": feature_store.SEED,
        "config": dict(used.config),
        "sources": {name: dict(facts) for name, facts in used.sources.items() if name in named},
        "recordings": [
            row for split, rows in used.recordings.items() for row in _recordings(split, rows)
        ],
        "totals": [row for split, rows in used.recordings.items() for row in _totals(split, rows)],
        "columns": _columns(used.bank),
        "validation windows": dict(Counter(used.held_out.names)),
        "left out as mislabelled": sorted(set(dropped)),
        "kept": {"step": int(kept[0]), "cost": kept[2], "error": kept[3]},
        "learnt from": dict(state["learnt from"]),
    }


def sentence(record: Mapping[str, Any] | None) -> str:
    """Say in a line what a network learnt from; nothing where nothing was recorded."""
    if not record:
        return ""
    parts: dict[str, list[str]] = {}
    for row in record["totals"]:
        groups = f"{row['groups']} group{'s' * (row['groups'] > 1)}"
        parts.setdefault(row["split"], []).append(
            f"{row['class']} {hours(row['seconds'])} of {groups}"
        )
    told = "; ".join(f"{split}: {', '.join(each)}" for split, each in parts.items())
    packages = sum("package" in facts for facts in record["sources"].values())
    others = [
        named(name, facts) for name, facts in record["sources"].items() if "package" not in facts
    ]
    sources = [f"{packages} Debian package{'s' * (packages > 1)}"] if packages else []
    text = f"{told}; from {', '.join([*sources, *others])}"
    return f"{text}. {stated(record)}".strip()


def stated(record: Mapping[str, Any]) -> str:
    """Return what the configuration of a training says of its audio, as its statement."""
    says = record["config"].get("says", "")
    return f"Stated in {record['config']['name']}: {says}" if says else ""


def named(name: str, facts: Mapping[str, Any]) -> str:
    """Return a source's name, what listed it and how its content can be told again."""
    listed = facts.get("listed", {})
    if "package" in facts:
        return f"{facts['package']} (sha256 {facts['sha256'][:12]})"
    if "manifest" in listed:
        return f"{listed['manifest']} (sha256 {listed['sha256'][:12]})"
    given = f"given with {listed['option']}, " if "option" in listed else ""
    return f"{name} ({given}contents {facts['sha256'][:12]})"


def hours(seconds: float) -> str:
    """Return a duration in the unit that shows it best."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _totals(split: Split, rows: Sequence[Recording]) -> list[dict[str, Any]]:
    """Count the recordings of a split by class; a group may be in several sources."""
    found: dict[str, list[Recording]] = {}
    for each in rows:
        found.setdefault(each.kind, []).append(each)
    return [
        {
            "split": split, "class": kind, "groups": len({each.group for each in members}),
            "seconds": sum(each.end - each.start for each in members) / feature_store.RATE,
        }
        for kind, members in sorted(found.items())
    ]  # fmt: skip


def _recordings(split: Split, rows: Sequence[Recording]) -> list[dict[str, Any]]:
    """Count the recordings of a split by source, class and licence."""
    found: dict[tuple[str, str, str], list[Recording]] = {}
    for each in rows:
        found.setdefault((each.source, each.kind, each.licence), []).append(each)
    return [
        {
            "split": split, "source": source, "class": kind, "licence": licence or UNSTATED,
            "groups": len({each.group for each in members}), "recordings": len(members),
            "seconds": sum(each.end - each.start for each in members) / feature_store.RATE,
        }
        for (source, kind, licence), members in sorted(found.items())
    ]  # fmt: skip


def _columns(columns: Bank) -> list[dict[str, Any]]:
    """Count the columns that windows are drawn from by class, and by whether they were made."""
    found: dict[tuple[str, bool], list[feature_store.Row]] = {}
    for row in columns.streams:
        found.setdefault((row.kind, row.origin == "made"), []).append(row)
    return [
        {
            "class": kind, "made": made, "streams": len(rows),
            "groups": len({row.group for row in rows}),
            "seconds": sum(row.end - row.start for row in rows) / COLUMNS_PER_HOUR * 3600,
        }
        for (kind, made), rows in sorted(found.items())
    ]  # fmt: skip


def config_of(path: Path, says: str) -> dict[str, str]:
    """Return the name, the hash and the statement of a configuration."""
    return {"name": path.name, "sha256": cache.hash_of(path.read_bytes()), "says": says}
