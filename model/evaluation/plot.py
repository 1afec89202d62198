"""One figure of what was measured: calibration, music under speech, conditions."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import ConfigError
from model.evaluation import metrics as figures
from model.evaluation.conditions import MUSIC_LEVELS_DB, TREATED
from model.evaluation.requirements import POOLED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from model.evaluation.predict import Judged

COLOURS = {"speech": "#2f6fde", "music": "#c9741c", "both": "#7a3fb0"}
PLAIN = (
    "speech", "music", "singing", "noise", "silence and hiss", "speech in a room",
    "speech, noise 10 dB under",
)  # fmt: skip


def draw(judged: Mapping[str, Judged], title: str, kind: str = "svg") -> bytes:
    """Draw the figure.

    Parameters
    ----------
    judged : dict of str to Judged
        The conditions by name.
    title : str
        What stands above it.
    kind : str
        svg or png.

    Returns
    -------
    bytes
        The file.

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
    # The same figures give the same file: no date inside, and ids from a fixed salt.
    mpl.rcParams.update({"svg.hashsalt": "airsift", "font.size": 9, "svg.fonttype": "none"})
    drawing, ((reliable, levels), (plain, treated)) = pyplot.subplots(2, 2, figsize=(10, 8))
    drawing.suptitle(title)
    _reliability(reliable, judged)
    _levels(levels, judged)
    _bars(plain, judged, [name for name in PLAIN if name in judged], "windows as they are")
    _bars(treated, judged, [f"{kind}, {name}" for name in TREATED for kind in ("speech", "music")],
          "the same windows, treated")  # fmt: skip
    drawing.tight_layout()
    file = io.BytesIO()
    drawing.savefig(file, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    pyplot.close(drawing)
    return file.getvalue()


def _reliability(axes: Any, judged: Mapping[str, Judged]) -> None:
    of = figures.pool([judged[name] for name in POOLED if name in judged])
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="ideal")
    ones = np.ones(len(of.p))
    for label, name in enumerate(("speech", "music")):
        bins = list(figures.reliability(of.p[:, label], of.truth[:, label], ones))
        mean, frequency, share = np.array(bins).T
        axes.plot(mean, frequency, color=COLOURS[name], linewidth=1)
        axes.scatter(mean, frequency, 8 + 220 * np.sqrt(share), color=COLOURS[name], alpha=0.7,
                     label=name)  # fmt: skip
    error = figures.calibration_error(of.p, of.truth, ones)
    axes.set(xlabel="probability said", ylabel="share that is so", xlim=(0, 1), ylim=(0, 1),
             title=f"calibration; expected error {error:.1%}")  # fmt: skip
    axes.legend(loc="upper left", frameon=False, markerscale=0.6)
    axes.grid(alpha=0.3)


def _levels(axes: Any, judged: Mapping[str, Judged]) -> None:
    names = [f"music at {level:+d} dB and speech" for level in MUSIC_LEVELS_DB]
    for key, figure in (("both", figures.both_right), ("speech", figures.said(figures.SPEECH)),
                        ("music", figures.said(figures.MUSIC))):  # fmt: skip
        found = [figures.estimate(figure, figures.pool([judged[name]])) for name in names]
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


def _bars(axes: Any, judged: Mapping[str, Judged], names: list[str], title: str) -> None:
    for place, name in enumerate(names):
        found = figures.estimate(figures.both_right, figures.pool([judged[name]]))
        truth = judged[name].truth
        colour = COLOURS["speech"] if truth[0] else COLOURS["music"] if truth[1] else "#768390"
        spread = [[max(found.value - found.low, 0) * 100], [max(found.high - found.value, 0) * 100]]
        axes.barh(place, found.value * 100, color=colour, alpha=0.8, xerr=spread, capsize=2,
                  error_kw={"linewidth": 0.8})  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(50, 100.5), xlabel="windows with both outputs right (%)", title=title)
    axes.grid(axis="x", alpha=0.3)
