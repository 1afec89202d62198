"""A timeline as PNG or SVG: waveform, columns, posteriors, labels and songs on one time axis."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.errors import ConfigError
from airsift.files import replacing
from airsift.timeline.labels import agreement
from airsift.timeline.recorder import MUSIC, SPEECH
from stream.sinks.format import clock, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from airsift.timeline.cells import Cells
    from airsift.timeline.recorder import Span, Timeline

# Of Okabe and Ito's palette, which the colour-blind can tell apart; it differs in lightness too.
COLOURS = {
    "speech": "#0072B2", "music": "#E69F00", "speech_over_music": "#CC79A7", "other": "#999999",
    "song": "#9FDCC8",
}  # fmt: skip
COLOUR_MAP = "magma"
NAME_LENGTH = 60
_WIDTH_IN, _LEFT_IN, _RIGHT_IN, _TOP_IN, _BOTTOM_IN = 12.0, 0.95, 0.2, 0.55, 0.4
_WAVE_IN, _COLUMNS_IN, _POSTERIORS_IN, _LANE_IN, _SPACE_IN = 0.8, 2.0, 1.1, 0.26, 0.12
_FONT, _SMALL = 8.5, 7.5  # points
_STEPS_S = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600,
    43_200, 86_400,
)  # fmt: skip
MAX_TICKS = 13


def check_installed() -> None:
    """Refuse to plot without matplotlib.

    Raises
    ------
    ConfigError
        It is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError("matplotlib is not installed: pip install 'airsift[plot]'")


def draw(timeline: Timeline, truth: Sequence[Span], path: Path, *, dpi: int = 110) -> None:
    """Draw a timeline.

    Parameters
    ----------
    timeline : Timeline
        What was computed.
    truth : sequence of Span
        True labels, or none.
    path : Path
        PNG or SVG, by its suffix.
    dpi : int > 0
        Pixels in an inch; the picture is 12 inches wide.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = path.suffix[1:].lower()
    # Deterministic files: without date, and with a fixed salt for ids.
    style: dict[Any, Any] = {"svg.hashsalt": "airsift", "font.size": _FONT, "axes.linewidth": 0.6}
    with warnings.catch_warnings(), rc_context(style):
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        rows = _label_rows(timeline, truth)
        heights = [_WAVE_IN, _COLUMNS_IN, _POSTERIORS_IN]
        heights.append(_LANE_IN * sum(row.lanes for row in rows))
        height = _TOP_IN + sum(heights) + _SPACE_IN * (len(heights) - 1) + _BOTTOM_IN
        figure = Figure(figsize=(_WIDTH_IN, height))
        FigureCanvasAgg(figure)
        top, axes = height - _TOP_IN, list[Any]()
        for tall in heights:
            axes.append(figure.add_axes(_share(top - tall, tall, height)))
            top -= tall + _SPACE_IN
        _wave(axes[0], timeline)
        _columns(axes[1], timeline)
        _posteriors(axes[2], timeline)
        _labels(axes[3], rows)
        ticks = ticks_of(0.0, timeline.length_s)
        for each in axes:
            each.set_xlim(0, timeline.length_s)
            each.set_xticks(ticks)
            each.tick_params(length=2.5, labelbottom=each is axes[3])
            for gap in timeline.gaps:
                each.axvspan(gap.start_s, gap.end_s, color="#dddddd", lw=0)
        axes[3].set_xticklabels([clock(each, tenths=bool(each % 1)) for each in ticks])
        axes[3].set_xlabel("time (h:mm:ss)" if timeline.length_s >= 3600 else "time (mm:ss)")
        figure.text(_LEFT_IN / _WIDTH_IN, 1 - 0.2 / height, title(timeline, truth), va="center",
                    fontsize=_FONT + 1, parse_math=False)  # fmt: skip
        _legend(figure, timeline, truth, height)
        metadata = {"Date": None} if kind == "svg" else None
        with replacing(path) as partial, partial.open("wb") as out:
            figure.savefig(out, format=kind, dpi=dpi, metadata=metadata)


def title(timeline: Timeline, truth: Sequence[Span]) -> str:
    """Return a line about the whole file, with the share of right time where truth is given."""
    name = shortened(timeline.name, NAME_LENGTH, middle=True)
    line = f"{name}, {clock(timeline.length_s, tenths=timeline.length_s < 60)}"
    right, total = agreement(truth, timeline.segments)
    if total:
        line += f"; speech and music as in truth in {right / total:.1%} of the labelled time"
    return line


def ticks_of(start_s: float, end_s: float) -> list[float]:
    """Return round times from start to end, `MAX_TICKS` at most."""
    step = next((s for s in _STEPS_S if (end_s - start_s) / s < MAX_TICKS), None)
    if step is None:
        step = _STEPS_S[-1] * np.ceil((end_s - start_s) / _STEPS_S[-1] / (MAX_TICKS - 1))
    first = int(np.ceil(start_s / step))
    return [float(round(n * step, 3)) for n in range(first, int(end_s / step) + 1)]


def lanes(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return the lane of each span, so that those of one lane do not meet; the first that is free.

    Parameters
    ----------
    spans : sequence of (float, float)
        Begin and end, by begin.
    """
    ends: list[float] = []
    found = []
    for start, end in spans:
        lane = next((n for n, before in enumerate(ends) if before <= start), len(ends))
        ends[lane : lane + 1] = [end]
        found.append(lane)
    return found


def coloured(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return values with empty cells as 0, and the value that has the brightest colour."""
    filled = np.nan_to_num(values)
    return filled, max(float(np.quantile(filled, 0.998)) if filled.size else 0.0, 1e-3)


class _Row:
    """One row of labels: its name, bars, and their names, each in a lane."""

    def __init__(
        self, name: str, spans: Sequence[Span], length_s: float, width_pt: float, *, has_lanes: bool
    ) -> None:
        self.name = name
        self.bars: list[tuple[int, Span, float, str]] = []  # lane, span, begin of its text, text
        s_per_pt = length_s / width_pt
        placed = []
        for span in spans:
            text = shortened(span.name, NAME_LENGTH)
            needs_s = (_text_width(text) + 6) * s_per_pt if text else 0.0
            at_s = max(min(span.start_s, length_s - needs_s), 0.0)
            placed.append((at_s, max(span.end_s, at_s + needs_s), text, span))
        placed.sort(key=lambda each: each[0])
        # Labels that overlap are one over the other; songs are not, or their names would be.
        numbers = lanes([each[:2] for each in placed]) if has_lanes else [0] * len(placed)
        for number, (at_s, _, text, span) in zip(numbers, placed, strict=True):
            self.bars.append((number, span, at_s + 3 * s_per_pt, text))
        self.lanes = max((number for number, *_ in self.bars), default=0) + 1


def _label_rows(timeline: Timeline, truth: Sequence[Span]) -> list[_Row]:
    songs = [span for span in truth if span.label == "song"]
    labels = [span for span in truth if span.label != "song"]
    rows = {
        "truth": labels, "airsift": timeline.segments, "songs, truth": songs,
        "songs": timeline.songs,
    }  # fmt: skip
    width_pt = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN) * 72
    return [
        _Row(name, spans, timeline.length_s, width_pt, has_lanes=name.startswith("songs"))
        for name, spans in rows.items()
        if spans or name == "airsift"
    ]


def _text_width(text: str) -> float:
    """Return the width of a text in points."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    font.set_size(_SMALL, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64


def _share(bottom: float, tall: float, height: float) -> tuple[float, float, float, float]:
    """Return the place of axes in shares of the figure, from inches."""
    wide = _WIDTH_IN - _LEFT_IN - _RIGHT_IN
    return _LEFT_IN / _WIDTH_IN, bottom / height, wide / _WIDTH_IN, tall / height


def _edges(cells: Cells, unit_s: float) -> NDArray[np.float64]:
    """Return where the used cells begin, in seconds, and where the last one ends."""
    return np.asarray(np.arange(cells.used + 1) * cells.width * unit_s)


def _wave(axes: Any, timeline: Timeline) -> None:
    cells = timeline.wave
    edges = _edges(cells, timeline.wave_unit_s)
    there = cells.count[: cells.used] > 0
    low, high = (np.where(there, v[: cells.used, 0], 0.0) for v in (cells.low, cells.high))
    middles = (edges[:-1] + edges[1:]) / 2
    axes.fill_between(middles, low, high, color="#444444", lw=0.3)
    loudest = max(float(np.abs([low, high]).max()) if len(low) else 0.0, 1e-3)
    axes.set_ylim(-loudest, loudest)
    axes.set_yticks([])
    _name_axis(axes, "waveform")


def _columns(axes: Any, timeline: Timeline) -> None:
    cells = timeline.columns
    values, brightest = coloured(cells.mean[: cells.used])
    # A column is centred on its time.
    start = -timeline.columns_unit_s / 2
    end = start + cells.used * cells.width * timeline.columns_unit_s
    bins = values.shape[1]
    axes.imshow(values.T, origin="lower", aspect="auto", extent=(start, end, -0.5, bins - 0.5),
                cmap=COLOUR_MAP, vmin=0.0, vmax=brightest)  # fmt: skip
    octaves = range(0, bins, timeline.bins_per_octave)
    names = [hertz(timeline.fmin_hz * 2 ** (b / timeline.bins_per_octave)) for b in octaves]
    axes.set_yticks(list(octaves), names, fontsize=_SMALL)
    _name_axis(axes, "CQT", 0.62)


def hertz(frequency: float) -> str:
    """Return a frequency for an axis: ``640 Hz``, ``5.1 kHz``."""
    return f"{frequency:.0f} Hz" if frequency < 1000 else f"{frequency / 1000:.1f} kHz"


def _posteriors(axes: Any, timeline: Timeline) -> None:
    cells = timeline.posteriors
    there = cells.count[: cells.used] > 0
    # A unit is the half second behind its time, or before it: decisions are a second apart.
    times = (np.arange(cells.used) + 0.5) * cells.width * timeline.posteriors_unit_s
    if cells.width == 1:
        times -= timeline.posteriors_unit_s / 2
    breaks = np.flatnonzero(np.diff(times[there]) > 2.5 * max(cells.width / 2, 1)) + 1
    for label, name, style in ((MUSIC, "music", "-"), (SPEECH, "speech", "--")):
        low, mean, high = (
            np.insert(v[: cells.used, label][there].astype(float), breaks, np.nan)
            for v in (cells.low, cells.mean, cells.high)
        )
        at = np.insert(times[there], breaks, np.nan)
        if cells.width > 2:
            axes.fill_between(at, low, high, color=COLOURS[name], alpha=0.3, lw=0)
        axes.plot(at, mean, style, color=COLOURS[name], lw=1.1, marker="." if len(at) == 1 else "")
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=_SMALL)
    axes.grid(axis="y", color="#dddddd", lw=0.5)
    _name_axis(axes, "posterior", 0.62)


def _labels(axes: Any, rows: Sequence[_Row]) -> None:
    top, names = 0, {}
    for row in rows:
        for lane, span, at_s, text in row.bars:
            y = top + lane
            axes.broken_barh(
                [(span.start_s, span.end_s - span.start_s)], (y - 0.4, 0.8),
                facecolor=COLOURS[span.label], lw=0, snap=False,
                hatch="////" if span.label == "speech_over_music" else None, edgecolor="#7a2f58",
            )  # fmt: skip
            if span.label == "song":
                axes.plot([span.start_s] * 2, [y - 0.4, y + 0.4], color="#00664a", lw=1.2)
            axes.text(at_s, y, text, fontsize=_SMALL, va="center", clip_on=True, parse_math=False)
        names[top + (row.lanes - 1) / 2] = row.name
        top += row.lanes
        axes.axhline(top - 0.5, color="#cccccc", lw=0.5)
    axes.set_ylim(top - 0.5, -0.5)
    axes.set_yticks(list(names), list(names.values()))
    axes.tick_params(axis="y", length=0)


def _name_axis(axes: Any, name: str, left_in: float = 0.12) -> None:
    width = _WIDTH_IN - _LEFT_IN - _RIGHT_IN
    axes.text(-left_in / width, 0.5, name, transform=axes.transAxes, ha="right", va="center",
              rotation=90 if left_in > 0.2 else 0)  # fmt: skip


def _legend(figure: Any, timeline: Timeline, truth: Sequence[Span], height: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    used = {span.label for span in (*timeline.segments, *timeline.songs, *truth)}
    handles: list[Any] = [
        Line2D([], [], color=COLOURS[name], ls=style, label=f"P({name})")
        for name, style in (("speech", "--"), ("music", "-"))
    ]
    handles += [
        Patch(facecolor=colour, label=label.replace("_", " "), lw=0, edgecolor="#7a2f58",
              hatch="////" if label == "speech_over_music" else None)
        for label, colour in COLOURS.items()
        if label in used
    ]  # fmt: skip
    if timeline.gaps:
        handles.append(Patch(facecolor="#dddddd", label="no audio"))
    figure.legend(handles=handles, loc="upper left", ncols=len(handles), frameon=False,
                  bbox_to_anchor=((_LEFT_IN - 0.05) / _WIDTH_IN, 1 - 0.28 / height),
                  borderaxespad=0, borderpad=0.1, handlelength=1.8)  # fmt: skip
