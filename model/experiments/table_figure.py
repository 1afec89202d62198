"""The picture of a table of rows: F beside the report's, and the curves of the trainings."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.files import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip # Okabe and Ito's
_SMOOTHED = 25  # batches of the moving average, at most a tenth of them


def draw(rows: Sequence[Mapping[str, Any]], trainings: Mapping[str, Path], image: Path) -> None:
    """Draw a table.

    Parameters
    ----------
    rows : sequence of mapping
        Those of `model.experiments.table.as_json`. Where the report has an error and no F, the
        error is drawn.
    trainings : mapping of str to Path
        By row, the folder of its first training. Baselines have none.
    image : Path
        PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, max(2.8, 1.2 + 0.32 * len(rows))), layout="constrained")
    FigureCanvasAgg(figure)
    share, cost, error = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
    colours = {each["name"]: _COLOURS[number % len(_COLOURS)] for number, each in enumerate(rows)}
    _draw_shares(share, rows, colours)
    for name, folder in trainings.items():
        if name in colours and (folder / "batches.csv").is_file():
            _draw_curves(cost, error, folder, colours[name])
    cost.set_ylabel("train cost (cross-entropy)")
    cost.set_yscale("log")
    error.set_ylabel("validation error (%)")
    for axis in (cost, error):
        axis.set_xlabel("batches")
        axis.grid(color="#eeeeee")
    with replacing(image) as partial, partial.open("wb") as out:
        figure.savefig(out, format="png", dpi=80, pil_kwargs={"optimize": True})


def _draw_shares(axis: Axes, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> None:
    """Draw F of each row, or its error, with its interval; the report's as a cross."""
    reported = [each["reported"] for each in rows]
    figure = "f" if any("f" in each for each in reported) or not any(reported) else "error"
    for place, (each, theirs) in enumerate(zip(rows, reported, strict=True)):
        value, low, high = 100 * np.array(each[figure])
        axis.plot([low, high], [place, place], color=colours[each["name"]], lw=2)
        axis.plot(value, place, "o", color=colours[each["name"]])
        if figure in theirs:
            axis.plot(theirs[figure], place, "kx")
    axis.plot([], [], "o", color="#777777", label="here, 95 % interval")
    axis.plot([], [], "kx", label="the report")
    axis.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2,
                frameon=False)  # fmt: skip
    axis.set_yticks(range(len(rows)), [each["name"] for each in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlabel("F (%)" if figure == "f" else "error (%)")
    axis.grid(axis="x", color="#eeeeee")


def _draw_curves(cost: Axes, error: Axes, folder: Path, colour: str) -> None:
    """Draw the cost of batches, and the error of each validation and the best so far."""
    batches, validations = _read(folder / "batches.csv"), _read(folder / "validations.csv")
    length = min(_SMOOTHED, max(1, len(batches["cost"]) // 10))
    means = np.convolve(batches["cost"], np.full(length, 1 / length), "valid")
    cost.plot(batches["step"][length - 1 :], means, color=colour, lw=1)
    steps = validations["step"]
    error.plot(steps, 100 * validations["validation_error"], "o-", color=colour, ms=3, lw=0.8)
    error.step(steps, 100 * validations["best"], color=colour, lw=0.8, ls=":", where="post")


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
