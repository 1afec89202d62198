"""The table and the picture of what networks lose by changes of the test windows.

`model.experiments.invariances` measures it. Accuracies are shares of windows whose likelier class
is right, with the intervals of a bootstrap over groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.files import replacing
from model.evaluation import metrics
from model.experiments.table import Comparison, conclusion, decided, interval, pool, verdict
from model.experiments.transformations import KINDS, UNITS, Change, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airsift.json_types import JsonObject
    from model.evaluation.metrics import Estimate, Flags, Numbers
    from model.experiments.invariances import Comparisons, Measured
    from model.experiments.windows import Windows

HOPE: Kind = "transposition"
COLOURS = ("#0072B2", "#D55E00")  # Okabe and Ito's


def accuracy(measured: Measured, row: int, change: Change | None = None) -> Estimate:
    """Return the accuracy of a row under a change, or without one."""
    p = measured.unchanged if change is None else measured.changed[change]
    return metrics.estimate(_accuracy(0), _pool(measured.test, [[p[row]]]))


def lead(measured: Measured, changes: Sequence[Change]) -> Estimate:
    """Return by how much the first row is more accurate than the second, over changes."""
    return metrics.estimate(_difference, _pool(measured.test, _columns(measured, changes)))


def retained(measured: Measured, changes: Sequence[Change]) -> Estimate:
    """Return by how much less the first row loses than the second, over changes."""
    return metrics.estimate(_retained, _pool(measured.test, _columns(measured, changes)))


def compare(measured: Measured) -> list[Comparison]:
    """Return the two parts of the report's hope, and their verdicts."""
    changes = [change for change in measured.changed if change.kind == HOPE]
    first, second = measured.names
    parts = []
    for text, value in (
        (f"transposed windows, accuracy of {first} above {second}", lead(measured, changes)),
        (f"{first} loses less by transposition", retained(measured, changes)),
    ):
        span = f"{100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"
        parts.append(Comparison(f"{text} by {span}", decided(value.low, value.high, strict=True)))
    return parts


def markdown(of: Comparisons, measured: Measured) -> str:
    """Return the section of a page: question, table and verdict."""
    first, second = measured.names
    lines = [
        f"## Experiment {of.name}: {of.title}", "", of.question, "",
        f"| change of the test windows | {first} | {second} | {first} above {second} |",
        "|---|---|---|---|",
    ]  # fmt: skip
    for change in (None, *measured.changed):
        cells = [interval(accuracy(measured, row, change)) for row in range(2)]
        difference = lead(measured, [] if change is None else [change])
        name = "none" if change is None else change.name
        cells.append(_signed(difference))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    test, seeds = measured.test, measured.unchanged.shape[1]
    parts = compare(measured)
    lines += [
        "",
        f"Accuracy in percent, {len(test)} test windows of {len(set(test.groups))} groups, "
        f"{seeds} network{'s' if seeds > 1 else ''} each, with 95 % intervals over groups.",
        "",
        conclusion("The report hopes", of.finding, parts),
        "",
    ]
    return "\n".join(lines)


def as_json(of: Comparisons, measured: Measured) -> JsonObject:
    """Return the table as plain values, for programs and for the picture."""
    parts = compare(measured)
    return {
        "experiment": of.name,
        "verdict": verdict(parts),
        "parts": [{"text": part.text, "verdict": part.verdict} for part in parts],
        "changes": [
            {
                "kind": "none" if change is None else change.kind,
                "amount": 0.0 if change is None else change.amount,
                **{
                    name: [value.value, value.low, value.high]
                    for row, name in enumerate(measured.names)
                    for value in [accuracy(measured, row, change)]
                },
            }
            for change in (None, *measured.changed)
        ],
    }


def draw(of: Comparisons, values: Mapping[str, Any], image: Path) -> None:
    """Draw the accuracy of both rows over the amount of each kind of change, as a PNG.

    Parameters
    ----------
    of : Comparisons
        What was compared.
    values : mapping
        As `as_json` returns them.
    image : Path
        The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plain, *changed = values["changes"]
    kinds = [kind for kind in KINDS if any(each["kind"] == kind for each in changed)]
    figure = Figure(figsize=(10, 3 * -(-len(kinds) // 3)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(kinds) // 3), 3, sharey=True, squeeze=False).flat
    for panel, kind in zip(panels, kinds, strict=False):
        zero = {**plain, "amount": 1.0 if kind == "tempo" else 0.0}
        there = [each for each in changed if each["kind"] == kind]
        changes = sorted([zero, *there], key=lambda each: each["amount"])
        amounts = [each["amount"] for each in changes]
        for row, colour, mark in zip(of.experiment.rows, COLOURS, ("o-", "s--"), strict=True):
            middle, low, high = 100 * np.array([each[row.name] for each in changes]).T
            panel.fill_between(amounts, low, high, color=colour, alpha=0.15, lw=0)
            panel.plot(amounts, middle, mark, color=colour, ms=4, lw=1.4, label=row.name)
        panel.set_xlabel(f"{kind} ({UNITS[kind]})")
        panel.grid(color="#e5e5e5")
        panel.axvline(zero["amount"], color="#999999", lw=0.8, ls=":")
    for panel in list(panels):
        panel.set_visible(False)
    axes = figure.axes
    axes[0].legend(loc="lower center", frameon=False)
    for panel in axes[::3]:
        panel.set_ylabel("accuracy (%)")
    with replacing(image) as partial, partial.open("wb") as out:
        figure.savefig(out, format="png", dpi=100)


def _columns(measured: Measured, changes: Sequence[Change]) -> list[list[Numbers]]:
    """Return, for each change, the columns: both rows changed, then both unchanged."""
    plain = list(measured.unchanged)
    return [[*measured.changed[each], *plain] for each in changes] or [[*plain, *plain]]


def _pool(test: Windows, columns: Sequence[Sequence[Numbers]]) -> metrics.Pool:
    """Pool windows of all changes and seeds; each column [shape=(seeds, windows)] is one of `p`."""
    p = np.concatenate([np.stack([c.reshape(-1) for c in each], axis=1) for each in columns])
    return pool(test, p)


def _accuracy(column: int) -> metrics.Metric:
    def value(p: Numbers, truth: Flags, weights: Numbers) -> float:
        right = (p[:, column] > 0.5) == truth[:, 1]
        return float(weights[right].sum() / weights.sum())

    return value


def _difference(p: Numbers, truth: Flags, weights: Numbers) -> float:
    return _accuracy(0)(p, truth, weights) - _accuracy(1)(p, truth, weights)


def _retained(p: Numbers, truth: Flags, weights: Numbers) -> float:
    before = _accuracy(2)(p, truth, weights) - _accuracy(3)(p, truth, weights)
    return _difference(p, truth, weights) - before


def _signed(value: Estimate) -> str:
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"
