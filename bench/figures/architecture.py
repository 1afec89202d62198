"""Draw the figure of docs/architecture.md: the road of audio through the rooms.

::

    python -m bench.figures.architecture [--out docs/figures/architecture.svg]

The drawing is the same bytes on every run. Colours are readable on light and on dark pages.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUT = Path(__file__).parents[2] / "docs" / "figures" / "architecture.svg"
WIDTH, HEIGHT = 960, 560
GREY = "#768390"
EDGE, STAGE, MODEL, PRINT, TRAIN = "#2f6fde", "#c9741c", "#9a4fd0", "#1a7f5a", "#768390"
# Stages in the order of `Pipeline`: x, y and what each returns.
STAGES = {
    "align": (210, 400, "audio in order,\ngaps named"),
    "clock": (295, 400, "time of day"),
    "levels": (380, 400, "levels, if on"),
    "mono": (465, 400, "one channel"),
    "resample": (550, 400, "16 kHz"),
    "columns": (635, 400, "columns,\n20 ms"),
    "classify": (720, 400, "decisions,\n1 s"),
    "voice": (215, 296, "female or male"),
    "smooth": (316, 296, "segments"),
    "labels": (417, 296, "labels of your\nown, if on"),
    "identify": (518, 296, "matches"),
    "repeats": (619, 296, "repeats, if on"),
    "alarms": (720, 296, "alarms, if on"),
}
BOX = (74, 34)


def box(axes: Axes, at: tuple[float, float, float, float], title: str, colour: str) -> None:
    """Draw a filled box (x, y, width, height) with a title in the middle."""
    x, y, width, height = at
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=5", fc=colour,
                       ec="none")
    )  # fmt: skip
    axes.text(x + width / 2, y + height / 2, title, color="white", fontsize=12, ha="center",
              va="center_baseline", linespacing=1.35)  # fmt: skip


def frame(axes: Axes, at: tuple[float, float, float, float], title: str, colour: str) -> None:
    """Draw an outlined room with its name at the top left."""
    x, y, width, height = at
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=8", fc="none",
                       ec=colour, lw=1.4)
    )  # fmt: skip
    axes.text(x + 10, y + height - 9, title, color=colour, fontsize=12, weight="bold", va="top")


def note(axes: Axes, x: float, y: float, words: str, align: str = "center") -> None:
    """Write small text."""
    axes.text(x, y, words, color=GREY, fontsize=10.5, ha=align, va="center", linespacing=1.4)


def arrow(axes: Axes, *points: tuple[float, float], dashed: bool = False) -> None:
    """Draw a line through the points, with a head at its end."""
    style = "--" if dashed else "-"
    for start, end in pairwise(points[:-1]):
        axes.plot(*zip(start, end, strict=True), color=GREY, lw=1.3, ls=style)
    axes.annotate("", points[-1], points[-2], arrowprops={
        "arrowstyle": "-|>", "color": GREY, "lw": 1.3, "ls": style, "shrinkA": 0, "shrinkB": 0,
    })  # fmt: skip


def draw(axes: Axes) -> None:
    """Draw all of it, in units of a pixel, y upwards."""
    frame(
        axes,
        (8, 220, 944, 332),
        "Runner: step = receive, push, write; checkpoint = flush, snapshot, commit",
        GREY,
    )
    # Sources.
    frame(axes, (20, 236, 168, 282), "sources", EDGE)
    box(axes, (32, 400, 144, 84), "file\nhttp\nmicrophone", EDGE)
    box(
        axes,
        (32, 272, 144, 104),
        "kafka/client\nor kafka/faust\nwith codec, records,\ncheckpoint",
        EDGE,
    )
    note(axes, 104, 254, "both give the same items")
    # Stages.
    frame(axes, (200, 236, 608, 282), "Pipeline: stages over one Session per station", STAGE)
    width, height = BOX
    for name, (x, y, result) in STAGES.items():
        box(axes, (x, y, width, height), name, STAGE)
        note(axes, x + width / 2, y - 12 - 6 * result.count("\n"), result)
    for row in (
        ["align", "clock", "levels", "mono", "resample", "columns", "classify"],
        ["voice", "smooth", "labels", "identify", "repeats", "alarms"],
    ):
        for left, right in pairwise(row):
            (x1, y, _), (x2, *_) = STAGES[left], STAGES[right]
            arrow(axes, (x1 + width, y + height / 2), (x2, y + height / 2))
    first, second = 417, 313  # the middles of the two rows
    arrow(axes, (794, first), (801, first), (801, 354), (206, 354), (206, second), (215, second))
    note(axes, 757, second + 27, "events, dated")
    note(axes, 504, 250, "one list of items: a stage replaces its own and passes on the others")
    arrow(axes, (176, 442), (194, 442), (194, first), (210, first))
    arrow(axes, (176, 324), (194, 324), (194, first), (210, first))
    note(axes, 212, 470, "AudioChunk, Resumed, Lost, in order", "left")
    # Sinks.
    frame(axes, (826, 236, 116, 282), "sinks", EDGE)
    for y, name in ((442, "console"), (385, "jsonl"), (328, "kafka topics"), (271, "database")):
        box(axes, (835, y, 98, 42), name, EDGE)
        arrow(axes, (794, second), (817, second), (817, y + 21), (835, y + 21))
    # Libraries.
    frame(axes, (330, 128, 230, 76), "model (runtime)", MODEL)
    note(axes, 445, 153, "frontend: the CQT\nclassifier: a TorchScript file")
    arrow(axes, (445, 204), (445, 236))
    frame(axes, (580, 128, 188, 76), "fingerprint", PRINT)
    note(axes, 674, 153, "analysis, index,\nmatching")
    arrow(axes, (674, 204), (674, 236))
    frame(axes, (8, 16, 560, 76), "model (training side): never imported by a worker", TRAIN)
    note(axes, 288, 40, "corpus   →   networks + training   →   evaluation   →   export")
    arrow(axes, (445, 92), (445, 128), dashed=True)
    note(axes, 455, 110, "model file, .pt", "left")
    frame(axes, (8, 128, 300, 76), "airsift", TRAIN)
    note(axes, 158, 153, "command line, configuration;\nbuilds the parts above")
    arrow(axes, (158, 204), (158, 220))
    frame(axes, (580, 16, 372, 76), "bench", TRAIN)
    note(
        axes, 766, 40, "speed, matching, peers, chaos, figures:\nexperiments; nothing imports them"
    )
    frame(axes, (788, 128, 164, 76), "telemetry", EDGE)
    note(axes, 870, 153, "observes the Runner:\nmetrics, health, logs")
    arrow(axes, (870, 204), (870, 220))


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    settings = {
        "svg.hashsalt": "airsift",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    }
    with mpl.rc_context(settings):
        figure = plt.figure(figsize=(WIDTH / 72, HEIGHT / 72))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
        axes.axis("off")
        draw(axes)
        metadata = {"Date": None} if out.suffix == ".svg" else None
        figure.savefig(out, transparent=out.suffix == ".svg", metadata=metadata, dpi=72)


if __name__ == "__main__":
    main()
