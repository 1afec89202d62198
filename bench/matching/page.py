"""Tables and plot of the fingerprint benchmark, written into docs/fingerprint.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.matching.score import Figures
from bench.report import table_lines, write_section

PAGE = Path(__file__).parents[2] / "docs" / "fingerprint.md"
IMAGE = Path(__file__).parents[2] / "docs" / "figures" / "fingerprint.svg"
_SCRIPT = "bench/matching/__main__.py"
_COLOURS = {
    "airsift": "#2f6fde",
    "Chromaprint": "#c9741c",
    "audfprint": "#768390",
    "pairwise boosted": "#3a9a5b",
}

Table = Mapping[str, Mapping[str, Figures]]  # by condition, then by matcher


def write(table: Table, about: Mapping[str, Any]) -> None:
    """Replace the text between the two marks, and draw the plot."""
    body = "\n\n".join([_introduction(about), _conditions(table), _silence(about)])
    write_section(PAGE, _SCRIPT, body)
    draw(table)


def draw(table: Table) -> None:
    """Plot the recall of each matcher by condition."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "airsift"  # deterministic files
    names = list(table)[::-1]
    matchers = [name for name in next(iter(table.values())) if name in _COLOURS]
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(names) + 1.2), layout="constrained")
    height = 0.8 / len(matchers)
    for index, matcher in enumerate(matchers):
        shares = [table[name][matcher].found_percent for name in names]
        places = [row + height * (len(matchers) / 2 - index - 0.5) for row in range(len(names))]
        axes.barh(places, shares, height, label=matcher, color=_COLOURS[matcher])
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 100), ylim=(-0.6, len(names) - 0.4), xlabel="queries found, %")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(matchers), frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGE, metadata={"Date": None})
    plt.close(figure)


def _introduction(about: Mapping[str, Any]) -> str:
    thresholds = ", ".join(
        f"{name} {threshold:.3g}" for name, threshold in about["thresholds"].items()
    )
    return (
        f"{about['tracks']} tracks ({about['hours']:.1f} h), {about['queries']} queries a "
        f"condition, {about['negative_hours']:.1f} h of audio that\n"
        "is not in the catalogue. The other two have the threshold, set on these same negatives, "
        "at which\nthey say nothing false; airsift has the one it is shipped with, set on other "
        f"audio. Thresholds:\n{thresholds}."
    )


def _conditions(table: Table) -> str:
    others = ("airsift", "first pass")
    matchers = [name for name in next(iter(table.values())) if name not in others]
    head = ["condition", "found %", "by the first pass %", "wrong", "place within 0.1 s %"]
    head += ["in a repeat", *(f"{name} %" for name in matchers)]
    body = []
    for name, row in table.items():
        own = row["airsift"]
        cells = [name, f"**{own.found_percent:.0f}**", f"{row['first pass'].found_percent:.0f}"]
        cells += [str(own.wrong), f"{own.place_percent:.0f}", str(own.repeats)]
        cells += [f"{row[matcher].found_percent:.0f}" for matcher in matchers]
        body.append(cells)
    return "\n".join(table_lines(head, body))


def _silence(about: Mapping[str, Any]) -> str:
    head = ["not in the catalogue", "hours", "false matches"]
    body = [[kind, f"{hours:.1f}", str(false)] for kind, (hours, false) in about["silence"].items()]
    return "\n".join(table_lines(head, body))
