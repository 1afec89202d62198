"""Disagreements as a table for people, in the width of the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stream.sinks import terminal
from stream.sinks.format import clock, in_cells, padded, shortened, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airsift.tags.judging import Verdict

_HEAD = ("sure", "contains", "speech", "music", "length", "tags", "path")
_MIN_PATH, _MAX_TAGS = 16, 40
_PIPE_COLUMNS = 120


def lines_of(verdicts: Sequence[Verdict], columns: int | None = None) -> list[str]:
    """Return a line for each verdict below a head, none wider than the terminal.

    Paths are shortened in their middle, because folder and file name both say something.

    Parameters
    ----------
    verdicts : sequence of Verdict
        In the order of the lines.
    columns : int, optional
        Width; by default that of the terminal, or 120 without one.
    """
    if not verdicts:
        return []
    width = columns or _columns()
    rows = [_HEAD, *(_cells(verdict) for verdict in verdicts)]
    fixed = [max(width_of(row[column]) for row in rows) for column in range(len(_HEAD) - 2)]
    room = width - sum(fixed) - 2 * len(fixed)
    tags = max(width_of(row[-2]) for row in rows)
    tags = min(tags, _MAX_TAGS, max(room - 2 - _MIN_PATH, 0) // 2 or 4)
    path = max(room - tags - 2, 1)
    lines = []
    for row in rows:
        cells = [padded(cell, wide) for cell, wide in zip(row[:-2], fixed, strict=True)]
        cells += [padded(shortened(row[-2], tags), tags), shortened(row[-1], path, middle=True)]
        lines.append(shortened("  ".join(cells), width).rstrip())
    return lines


def _columns() -> int:
    # One column less than there are: some terminals break a line that is full.
    return terminal.size_of(sys.stdout)[0] - 1 if sys.stdout.isatty() else _PIPE_COLUMNS


def _cells(verdict: Verdict) -> tuple[str, ...]:
    content = verdict.content
    return (
        f"{verdict.confidence:.0%}",
        str(verdict.claim.other),
        f"{content.speech:.0%}",
        f"{content.music:.0%}",
        clock(content.duration_s, tenths=False),
        in_cells("; ".join(verdict.entry.tags)),
        in_cells(verdict.entry.name),
    )
