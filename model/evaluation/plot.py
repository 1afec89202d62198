"""The plot of an evaluation: calibration, music under speech, conditions, sources."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from model.evaluation import by_source, metrics
from model.evaluation.conditions import DEGRADATIONS, MUSIC_LEVELS_DB
from model.evaluation.requirements import MIN_WORST, pooled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from model.evaluation.by_source import SourceFigure
    from model.evaluation.metrics import Thresholds
    from model.evaluation.predict import Predictions

COLOURS = {
    "speech": "#2f6fde", "music": "#c9741c", "both": "#7a3fb0", "singing": "#b03f6f",
    "noise": "#768390",
}  # fmt: skip
# Longer names of sources are cut.
NAME_LENGTH = 34
PLAIN = (
    "speech", "music", "singing", "noise", "silence and hiss", "speech in a room",
    "speech, noise 10 dB under",
)  # fmt: skip


def draw(
    predictions: Predictions,
    title: str,
    kind: str = "svg",
    thresholds: Thresholds = metrics.THRESHOLDS,
) -> bytes:
    """Plot an evaluation.

    Parameters
    ----------
    predictions : dict of str to ConditionPredictions
        The conditions by name.
    title : str
        Title of the figure.
    kind : str
        svg or png.
    thresholds : (float, float)
        Of speech and music, for one label a window.

    Returns
    -------
    bytes
        The image file.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise ConfigError("matplotlib is not installed: pip install 'airsift[training]'") from error
    # Deterministic files: without date, and with a fixed salt for ids.
    mpl.rcParams.update({"svg.hashsalt": "airsift", "font.size": 9, "svg.fonttype": "none"})
    drawing = pyplot.figure(figsize=(16, 9))
    grid = drawing.add_gridspec(2, 3)
    places = (grid[0, 0], grid[0, 1], grid[1, 0], grid[1, 1], grid[:, 2])
    reliable, levels, plain, degraded, sources = map(drawing.add_subplot, places)
    drawing.suptitle(title)
    _reliability(reliable, predictions)
    _levels(levels, predictions)
    _bars(plain, predictions, [name for name in PLAIN if name in predictions], "clean windows")
    pairs = [f"{kind}, {name}" for name in DEGRADATIONS for kind in ("speech", "music")]
    _bars(degraded, predictions, pairs, "the same windows, degraded")
    _sources(sources, by_source.figures(predictions, thresholds))
    drawing.tight_layout()
    file = io.BytesIO()
    drawing.savefig(file, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(drawing)
    return file.getvalue()


def _reliability(axes: Any, predictions: Predictions) -> None:
    of = metrics.pool(pooled(predictions), equal_sources=True)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="ideal")
    weights = of.shares
    for label, name in enumerate(("speech", "music")):
        bins = list(metrics.reliability(of.p[:, label], of.truth[:, label], weights))
        mean, frequency, share = np.array(bins).T
        axes.plot(mean, frequency, color=COLOURS[name], linewidth=1)
        axes.scatter(mean, frequency, 8 + 220 * np.sqrt(share), color=COLOURS[name], alpha=0.7,
                     label=name)  # fmt: skip
    error = metrics.calibration_error(of.p, of.truth, weights)
    axes.set(xlabel="predicted probability", ylabel="frequency", xlim=(0, 1), ylim=(0, 1),
             title=f"calibration; expected error {error:.1%}")  # fmt: skip
    axes.legend(loc="upper left", frameon=False, markerscale=0.6)
    axes.grid(alpha=0.3)


def _levels(axes: Any, predictions: Predictions) -> None:
    names = [f"music at {level:+d} dB and speech" for level in MUSIC_LEVELS_DB]
    for key, metric in (("both", metrics.both_right), ("speech", metrics.predicted(metrics.SPEECH)),
                        ("music", metrics.predicted(metrics.MUSIC))):  # fmt: skip
        found = [metrics.estimate(metric, metrics.pool([predictions[name]])) for name in names]
        values = [each.value for each in found]
        spread = [[e.value - e.low for e in found], [e.high - e.value for e in found]]
        axes.errorbar(MUSIC_LEVELS_DB, np.array(values) * 100, np.array(spread) * 100,
                      color=COLOURS[key], marker="o", markersize=4, capsize=2, linewidth=1.2,
                      label=key)  # fmt: skip
    axes.set(xlabel="level of the music against speech (dB)", ylabel="windows in which found (%)",
             title="music and speech at once")  # fmt: skip
    axes.set_ylim(top=101)
    axes.invert_xaxis()
    axes.legend(loc="lower left", frameon=False)
    axes.grid(alpha=0.3)


def _bars(axes: Any, predictions: Predictions, names: list[str], title: str) -> None:
    for place, name in enumerate(names):
        found = metrics.estimate(metrics.both_right, metrics.pool([predictions[name]]))
        truth = predictions[name].truth
        colour = COLOURS["speech"] if truth[0] else COLOURS["music"] if truth[1] else "#768390"
        spread = [[max(found.value - found.low, 0) * 100], [max(found.high - found.value, 0) * 100]]
        axes.barh(place, found.value * 100, color=colour, alpha=0.8, xerr=spread, capsize=2,
                  error_kw={"linewidth": 0.8})  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(50, 100.5), xlabel="windows with both outputs right (%)", title=title)
    axes.grid(axis="x", alpha=0.3)


def _sources(axes: Any, figures: Sequence[SourceFigure]) -> None:
    """Draw the recall of each source: one label a window."""
    found = [each for each in figures if each.counted]
    for place, each in enumerate(found):
        share = each.one_label
        spread = [[max(share.value - share.low, 0) * 100], [max(share.high - share.value, 0) * 100]]
        axes.barh(place, share.value * 100, color=COLOURS[each.kind], alpha=0.8, xerr=spread,
                  capsize=2, error_kw={"linewidth": 0.8})  # fmt: skip
    names = [f"{each.kind}: {each.source}"[:NAME_LENGTH] for each in found]
    axes.set_yticks(range(len(found)), names, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(MIN_WORST * 100, color="#444444", linewidth=0.8, linestyle="--")
    lowest = min((each.one_label.value for each in found), default=0.5)
    axes.set(xlim=(min(50.0, lowest * 100 - 5), 100.5), xlabel="windows with the right label (%)",
             title="each source, one label a window")  # fmt: skip
    axes.grid(axis="x", alpha=0.3)
