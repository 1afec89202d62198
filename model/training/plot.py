"""Training curves: cost and error of every batch and validation."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

from airsift.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SMOOTHED = 25  # batches of the moving average


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(folder: Path, image: Path, selected_by: Literal["cost", "error"] = "cost") -> None:
    """Plot the curves of a training.

    Parameters
    ----------
    folder : Path
        The training.
    image : Path
        PNG, SVG or PDF, by its suffix.
    selected_by : str
        What the column `best` of its validations is the lowest of so far.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    batches, validations = _read(folder / "batches.csv"), _read(folder / "validations.csv")
    figure = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(figure)
    cost, error = figure.subplots(2, 1, sharex=True)
    for axis, name, unit in ((cost, "cost", "cross-entropy"), (error, "error", "share wrong")):
        axis.plot(batches["step"], batches[name], color="#cccccc", lw=0.5, label="each batch")
        steps, means = _smoothed(batches["step"], batches[name])
        axis.plot(steps, means, color="#7f7f7f", label=f"mean of {SMOOTHED} batches")
        axis.plot(
            validations["step"],
            validations[f"validation_{name}"],
            "o-",
            color="#1f77b4",
            ms=3,
            label="validation",
        )
        axis.set_ylabel(f"{name} ({unit})")
        axis.grid(visible=True, which="both", color="#eeeeee")
    cost.set_yscale("log")
    error.set_ylim(0.0, 3.0 * float(np.median(batches["error"])) + 0.02)
    (cost if selected_by == "cost" else error).step(
        validations["step"], validations["best"], color="#d62728", where="post", label="best so far"
    )
    best = int(np.argmin(validations[f"validation_{selected_by}"]))
    for axis in (cost, error):
        axis.axvline(validations["step"][best], color="#d62728", lw=0.8, ls=":", label="selected")
        axis.legend(loc="upper right", fontsize="small")
    error.set_xlabel("step")
    selected = validations["validation_error"][best]
    cost.set_title(
        f"selected: step {validations['step'][best]:.0f}, validation error {selected:.2%}"
    )
    with replacing(image) as partial, partial.open("wb") as out:
        figure.savefig(out, format=image.suffix[1:], dpi=110)


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _smoothed(
    steps: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    length = min(SMOOTHED, len(values))
    means = np.convolve(values, np.full(length, 1 / length), "valid")
    return steps[length - 1 :], means
