"""The plot of `scale.py`: query time, memory and recall by hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

_TIMES = (
    ("both_ms", "both passes", "#c9741c"),
    ("cold_wall_ms", "first pass, nothing cached", "#9a4fd0"),
    ("first_ms", "first pass", "#2f6fde"),
)
_GREY = "#768390"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the rows of a report into an SVG or PNG file."""
    sizes = [row for row in rows if "first_ms" in row]
    found = [row for row in rows if row["name"].startswith("found %: ")]
    hours = [_hours(row["name"]) for row in sizes]
    with plt.rc_context({"font.size": 9, "text.color": _GREY, "axes.labelcolor": _GREY}):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
        for name, label, colour in _TIMES:
            left.loglog(hours, [row[name] for row in sizes], "o-", label=label, color=colour)
        left.set_ylabel("ms for a query of 10 s")
        left.legend(frameon=False, fontsize=8)
        middle.loglog(hours, [row["resident_mb"] for row in sizes], "o-", color="#2f6fde")
        middle.set_ylabel("MB resident")
        for row in found:
            shares = [row[size["name"]] for size in sizes]
            right.semilogx(hours, shares, "o-", label=row["name"].removeprefix("found %: "))
        right.set_ylabel("% found by the first pass")
        right.set_ylim(0, 102)
        right.legend(frameon=False, fontsize=7)
        for axes in (left, middle, right):
            axes.set_xlabel("hours in the catalogue")
            axes.tick_params(colors=_GREY, which="both")
            axes.grid(color=_GREY, alpha=0.2)
            axes.patch.set_alpha(0)
            for spine in axes.spines.values():
                spine.set_color(_GREY)
        figure.patch.set_alpha(0)
        figure.savefig(path)


def _hours(name: str) -> float:
    return float(name.removesuffix(" h").replace(",", ""))
