"""docs/large_catalogues.md: the tables and the figure of `scale`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

from bench.report import machine, table_lines, write_section

mpl.use("svg")

from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.matching.scale import Row

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "large_catalogues.md"
IMAGE = DOCS / "figures" / "fingerprint_scale.svg"
MARK = "bench/matching/scale.py"
_TIMES = (
    ("both_ms", "both passes", "#c9741c"),
    ("cold_wall_ms", "first pass, nothing cached, by the clock", "#9a4fd0"),
    ("first_ms", "first pass", "#2f6fde"),
)
_GREY = "#768390"


def write(rows: Sequence[Row]) -> None:
    """Replace the text between the two marks, and draw the figure."""
    host = machine()
    sizes = [f"{row.hours:,} h" for row in rows]
    known = round(sum(row.queries for row in rows) / len(rows))
    lines = [
        "Found by the first pass, in per cent:",
        "",
        *table_lines(
            ["condition", *sizes],
            [
                [name, *(f"{row.found_percent[name]:.1f}" for row in rows)]
                for name in rows[0].found_percent
            ],
        ),
        "",
        f"Of the {known} queries, those that were given another track, and those of other music "
        "that were given any:",
        "",
        *table_lines(
            ["hours", "another track", "a name for other music"],
            [[size, str(row.wrong), str(row.false)] for size, row in zip(sizes, rows, strict=True)],
        ),
        "",
        "A query of 10 s of unknown music, without its landmarks; medians, CPU time on one thread "
        "where not by\nthe clock:",
        "",
        *table_lines(
            ["hours", "first pass", "first pass, nothing cached, by the clock", "both passes",
             "resident", "of that without the index", "segments", "keys read", "mean list"],
            [[size, *_costs(row)] for size, row in zip(sizes, rows, strict=True)],
        ),
        "",
        f"{host['cpu']}, load {host['load']}.",
    ]  # fmt: skip
    write_section(PAGE, MARK, "\n".join(lines))
    draw(rows)


def _costs(row: Row) -> list[str]:
    costs = row.costs
    return [
        *(f"{costs[name]:,.0f} ms" for name in ("first_ms", "cold_wall_ms", "both_ms")),
        *(f"{costs[name]:,.0f} MB" for name in ("resident_mb", "without_index_mb")),
        f"{costs['segments']:.0f}",
        f"{costs['keys_read_percent']:.0f} %",
        f"{costs['list']:,.0f}",
    ]


def draw(rows: Sequence[Row]) -> None:
    """Plot query time, memory and recall by hours."""
    hours = [row.hours for row in rows]
    style = {
        "font.size": 9, "text.color": _GREY, "axes.labelcolor": _GREY, "svg.hashsalt": "airsift",
    }  # fmt: skip
    with plt.rc_context(style):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
        for name, label, colour in _TIMES:
            left.loglog(hours, [row.costs[name] for row in rows], "o-", label=label, color=colour)
        left.set_ylabel("ms for a query of 10 s")
        left.set_ylim(top=30 * max(row.costs[name] for row in rows for name, _, _ in _TIMES))
        left.legend(frameon=False, fontsize=7, loc="upper left")
        for name, label in (("resident_mb", "all"), ("without_index_mb", "without the index")):
            middle.semilogx(hours, [row.costs[name] for row in rows], "o-", label=label)
        middle.set_ylabel("MB resident")
        middle.set_ylim(bottom=0)
        middle.legend(frameon=False, fontsize=7, loc="lower left")
        for name in rows[0].found_percent:
            right.semilogx(hours, [row.found_percent[name] for row in rows], "o-", label=name)
        right.set_ylabel("% found by the first pass")
        right.set_ylim(
            min(79, *(share for row in rows for share in row.found_percent.values())), 101
        )
        right.legend(frameon=False, fontsize=7, loc="lower left")
        for axes in (left, middle, right):
            axes.set_xlabel("hours in the catalogue")
            axes.tick_params(colors=_GREY, which="both")
            axes.grid(color=_GREY, alpha=0.2)
            axes.patch.set_alpha(0)
            for spine in axes.spines.values():
                spine.set_color(_GREY)
        figure.patch.set_alpha(0)
        figure.savefig(IMAGE, metadata={"Date": None})
        plt.close(figure)
