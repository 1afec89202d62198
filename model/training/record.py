"""The record of a training: its inputs and results, for the model file and the model card.

A record is plain values, measured or read during the run: sources with their hashes, stated
licences, groups and hours of each class, settings, seeds, versions and the selected state.
"""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import airsift
from airsift.json_types import JsonObject
from model.corpus import cache, feature_store
from model.corpus.recordings import Facts
from model.spec import COLUMNS_PER_HOUR, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from model.corpus.feature_store import FeatureStore, TakeRow
    from model.corpus.recordings import Recording
    from model.corpus.sources import Split
    from model.training.loop import Settings
    from model.training.validation import Validation

SCHEMA = "airsift.training/1"
UNSTATED = "not stated"
T = TypeVar("T")
K = TypeVar("K", str, tuple[str, str, str], tuple[str, bool])


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The inputs of a training.

    Parameters
    ----------
    recordings : mapping of Split to sequence of Recording
        Recordings of the training and the validation split.
    sources : mapping of str to mapping
        Facts of each source: see `model.corpus.recordings.sources`.
    store : FeatureStore
        Columns of the training takes.
    held_out : Validation
        Validation windows.
    labels : sequence of str
        Names of the outputs.
    classes : mapping of str to sequence of int
        Indices of the positive outputs of each class.
    config : mapping of str to str
        Name, SHA-256 and statement of a user's configuration; empty without one.
    """

    recordings: Mapping[Split, Sequence[Recording]]
    sources: Mapping[str, Facts]
    store: FeatureStore
    held_out: Validation
    labels: Sequence[str]
    classes: Mapping[str, Sequence[int]]
    config: Mapping[str, str]


Total = TypedDict("Total", {"split": str, "class": str, "groups": int, "seconds": float})
Record = TypedDict(
    "Record",
    {
        "schema": str,
        "airsift": str,
        "python": str,
        "libraries": dict[str, str],
        "labels": list[str],
        "classes": dict[str, list[str]],
        "settings": JsonObject,
        "feature seed": int,
        "config": dict[str, str],
        "sources": dict[str, Facts],
        "recordings": list[JsonObject],
        "totals": list[Total],
        "columns": list[JsonObject],
        "validation windows": dict[str, int],
        "filtered as mislabelled": list[str],
        "selected": dict[str, float],
        "inputs": dict[str, str],
    },
)


def of_training(data: TrainingData, settings: Settings, state: Mapping[str, Any]) -> Record:
    """Make the record of a finished training.

    Parameters
    ----------
    data : TrainingData
        Its inputs.
    settings : Settings
        Its settings.
    state : mapping
        Its last state, from `model.training.checkpoint`.
    """
    named = {each.source for rows in data.recordings.values() for each in rows}
    dropped = [data.store.takes[place].group for place in state["dropped"]]
    selected = min(state["validations"], key=lambda row: row[2])
    return {
        "schema": SCHEMA,
        "airsift": airsift.__version__,
        "python": platform.python_version(),
        "libraries": cache.libraries(*feature_store.LIBRARIES),
        "labels": list(data.labels),
        "classes": {name: [data.labels[i] for i in on] for name, on in data.classes.items()},
        "settings": asdict(settings),
        "feature seed": feature_store.SEED,
        "config": dict(data.config),
        "sources": {name: facts for name, facts in data.sources.items() if name in named},
        "recordings": [
            row for split, rows in data.recordings.items() for row in _recordings(split, rows)
        ],
        "totals": [row for split, rows in data.recordings.items() for row in _totals(split, rows)],
        "columns": _columns(data.store),
        "validation windows": dict(Counter(data.held_out.names)),
        "filtered as mislabelled": sorted(set(dropped)),
        "selected": {"step": int(selected[0]), "cost": selected[2], "error": selected[3]},
        "inputs": dict(state["inputs"]),
    }


def sentence(record: Record) -> str:
    """Summarise the training data in one line."""
    parts: dict[str, list[str]] = {}
    for row in record["totals"]:
        groups = f"{row['groups']} group{'s' * (row['groups'] > 1)}"
        parts.setdefault(row["split"], []).append(
            f"{row['class']} {duration(row['seconds'])} of {groups}"
        )
    totals = "; ".join(f"{split}: {', '.join(each)}" for split, each in parts.items())
    packages = sum("package" in facts for facts in record["sources"].values())
    others = [
        named(name, facts) for name, facts in record["sources"].items() if "package" not in facts
    ]
    sources = [f"{packages} Debian package{'s' * (packages > 1)}"] if packages else []
    text = f"{totals}; from {', '.join([*sources, *others])}"
    return f"{text}. {stated(record)}".strip()


def stated(record: Mapping[str, Any]) -> str:
    """Return the statement about the audio in the configuration of a training."""
    statement = record["config"].get("statement", "")
    return f"Stated in {record['config']['name']}: {statement}" if statement else ""


def named(name: str, facts: Facts) -> str:
    """Return the name of a source, the origin of its list and a hash."""
    listed = facts.get("listed", {})
    if "package" in facts:
        return f"{facts['package']} (sha256 {facts['sha256'][:12]})"
    if "manifest" in listed:
        return f"{listed['manifest']} (sha256 {listed['sha256'][:12]})"
    given = f"given with {listed['option']}, " if "option" in listed else ""
    return f"{name} ({given}contents {facts['sha256'][:12]})"


def duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _totals(split: Split, rows: Sequence[Recording]) -> list[Total]:
    """Count the recordings of a split by class; a group may be in several sources."""
    return [
        {"split": split, "class": kind, "groups": _groups(some), "seconds": _seconds(some)}
        for kind, some in _grouped(rows, lambda each: each.kind)
    ]


def _recordings(split: Split, rows: Sequence[Recording]) -> list[JsonObject]:
    """Count the recordings of a split by source, class and licence."""
    return [
        {
            "split": split, "source": source, "class": kind, "licence": licence or UNSTATED,
            "groups": _groups(some), "recordings": len(some), "seconds": _seconds(some),
        }
        for (source, kind, licence), some in _grouped(
            rows, lambda each: (each.source, each.kind, each.licence)
        )
    ]  # fmt: skip


def _columns(store: FeatureStore) -> list[JsonObject]:
    """Count the columns of the training takes by class, recorded and synthetic."""
    return [
        {
            "class": kind, "synthetic": synthetic, "takes": len(some), "groups": _groups(some),
            "seconds": sum(each.end - each.start for each in some) / COLUMNS_PER_HOUR * 3600,
        }
        for (kind, synthetic), some in _grouped(
            store.takes, lambda each: (each.kind, each.origin == "synthetic")
        )
    ]  # fmt: skip


def _grouped(rows: Iterable[T], key: Callable[[T], K]) -> list[tuple[K, list[T]]]:
    """Return the rows of each key, in the order of the keys."""
    return [(value, list(some)) for value, some in groupby(sorted(rows, key=key), key)]


def _groups(rows: Iterable[Recording | TakeRow]) -> int:
    return len({each.group for each in rows})


def _seconds(rows: Iterable[Recording]) -> float:
    return sum(each.end - each.start for each in rows) / SAMPLE_RATE


def config_of(path: Path, statement: str) -> dict[str, str]:
    """Return the name, the hash and the statement of a configuration."""
    return {"name": path.name, "sha256": cache.hash_of(path.read_bytes()), "statement": statement}
