"""Figures of the matchers, kept in a file beside: a run of one leaves those of the others.

A full run takes hours, and matchers are measured apart: with other numbers of queries, each with
its own conditions. The table in docs/fingerprint.md shows them side by side.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.matching.score import Figures

FILE = Path(__file__).with_name("figures.json")
OWN, FIRST = "airsift", "first pass"


@dataclass(frozen=True, slots=True)
class Cell:
    """Result of a matcher in a condition.

    Parameters
    ----------
    found : float
        Percent of the queries.
    first : float, optional
        By the first pass alone.
    wrong, repeats : int, optional
        Queries with a wrong name; queries found at a repeat.
    place : float, optional
        Percent of the right positions.
    """

    found: float
    first: float | None = None
    wrong: int | None = None
    place: float | None = None
    repeats: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """All results of one matcher.

    Parameters
    ----------
    queries : int
        Of each condition.
    negative_hours : float
        Audio that is not in the catalogue, on which the threshold was set or checked.
    threshold : float
        Least score of a match.
    cells : dict of str to Cell
        By condition.
    """

    queries: int
    negative_hours: float
    threshold: float
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows.

    Parameters
    ----------
    about : dict
        Tracks and hours of the catalogue, and airsift's false matches by kind of audio.
    matchers : dict of str to Measured
        In the order of the columns.
    """

    about: dict[str, Any] = field(default_factory=dict)
    matchers: dict[str, Measured] = field(default_factory=dict)


def load(file: Path = FILE) -> Shown:
    """Return what is stored; nothing if there is no file."""
    if not file.exists():
        return Shown()
    read = json.loads(file.read_text(encoding="utf-8"))
    matchers = {
        name: Measured(
            each["queries"], each["negative_hours"], each["threshold"],
            {condition: Cell(**cell) for condition, cell in each["cells"].items()},
        )
        for name, each in read["matchers"].items()
    }  # fmt: skip
    return Shown(read["about"], matchers)


def save(shown: Shown, file: Path = FILE) -> None:
    """Write what is shown, without empty values."""
    values = {
        "about": shown.about,
        "matchers": {
            name: {
                **asdict(each),
                "cells": {
                    condition: {k: v for k, v in asdict(cell).items() if v is not None}
                    for condition, cell in each.cells.items()
                },
            }
            for name, each in shown.matchers.items()
        },
    }
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def merged(
    before: Shown, table: Mapping[str, Mapping[str, Figures]], about: Mapping[str, Any]
) -> Shown:
    """Return the stored results with those of a run in place of the same matchers' older ones.

    Parameters
    ----------
    before : Shown
        What is stored.
    table : mapping of str to mapping of str to Figures
        By condition, then by matcher, of `bench.matching.__main__.run`.
    about : mapping
        Of the same.
    """
    matchers = dict(before.matchers)
    for name, threshold in about["thresholds"].items():
        cells = {
            condition: _cell(row[name], row.get(FIRST) if name == OWN else None)
            for condition, row in table.items()
            if name in row
        }
        matchers[name] = Measured(
            about["queries"], round(about["negative_hours"], 1), round(float(threshold), 3), cells
        )
    silence = about["silence"] or before.about.get("silence", {})
    known = {"tracks": about["tracks"], "hours": round(about["hours"], 1), "silence": silence}
    return Shown(known, matchers)


def _cell(figures: Figures, first: Figures | None) -> Cell:
    return Cell(
        round(figures.found_percent, 1), None if first is None else round(first.found_percent, 1),
        figures.wrong, round(figures.place_percent, 1), figures.repeats,
    )  # fmt: skip
