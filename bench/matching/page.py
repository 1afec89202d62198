"""Tables and plot of the fingerprint benchmark, written into docs/fingerprint.md.

``python -m bench.matching.page`` writes them again from what is stored, and measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.matching.measured import OWN, Shown, load, merged, save
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


def write(table: Mapping[str, Mapping[str, Figures]], about: Mapping[str, Any]) -> None:
    """Store the results of a run, and write everything that is stored into the page and plot."""
    shown = merged(load(), table, about)
    save(shown)
    rewrite(shown)


def rewrite(shown: Shown) -> None:
    """Replace the text between the two marks, and draw the plot."""
    write_section(PAGE, _SCRIPT, section(shown))
    draw(shown)


def section(shown: Shown) -> str:
    """Return the text of the page."""
    return "\n\n".join([_introduction(shown), _conditions(shown), _silence(shown)])


def rows(shown: Shown) -> list[str]:
    """Return the conditions of the table: those of airsift, in the order of its run."""
    return list(shown.matchers[OWN].cells)


def draw(shown: Shown) -> None:
    """Plot the recall of each matcher by condition."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "airsift"  # deterministic files
    names = rows(shown)[::-1]
    matchers = [name for name in shown.matchers if name in _COLOURS]
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(names) + 1.2), layout="constrained")
    height = 0.8 / len(matchers)
    for index, matcher in enumerate(matchers):
        cells = shown.matchers[matcher].cells
        there = [place for place, name in enumerate(names) if name in cells]
        shares = [cells[names[place]].found for place in there]
        places = [place + height * (len(matchers) / 2 - index - 0.5) for place in there]
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


def _introduction(shown: Shown) -> str:
    own = shown.matchers[OWN]
    apart = [
        f"{name} was measured apart, with {each.queries} queries a condition and thresholds on "
        f'{each.negative_hours:.1f} h; "-": not measured.'
        for name, each in shown.matchers.items()
        if (each.queries, each.negative_hours) != (own.queries, own.negative_hours)
    ]
    thresholds = ", ".join(f"{name} {each.threshold:.3g}" for name, each in shown.matchers.items())
    return "\n".join([
        f"{shown.about['tracks']} tracks ({shown.about['hours']:.1f} h), {own.queries} queries a "
        f"condition, {own.negative_hours:.1f} h of audio that",
        "is not in the catalogue. The others have the threshold, set on these same negatives, at "
        "which",
        "they say nothing false; airsift has the one it is shipped with, set on other audio. "
        f"Thresholds:\n{thresholds}.",
        *apart,
    ])  # fmt: skip


def _conditions(shown: Shown) -> str:
    others = [name for name in shown.matchers if name != OWN]
    head = ["condition", "found %", "by the first pass %", "wrong", "place within 0.1 s %"]
    head += ["in a repeat", *(f"{name} %" for name in others)]
    body = []
    for name in rows(shown):
        own = shown.matchers[OWN].cells[name]
        cells = [name, f"**{own.found:.0f}**", *map(_number, (own.first, own.wrong, own.place))]
        cells.append(_number(own.repeats))
        for other in others:
            cell = shown.matchers[other].cells.get(name)
            cells.append("-" if cell is None else _number(cell.found))
        body.append(cells)
    return "\n".join(table_lines(head, body))


def _silence(shown: Shown) -> str:
    head = ["not in the catalogue", "hours", "false matches"]
    silence = shown.about["silence"]
    body = [[kind, f"{hours:.1f}", str(false)] for kind, (hours, false) in silence.items()]
    return "\n".join(table_lines(head, body))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    rewrite(load())
