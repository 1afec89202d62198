"""Plot the README's figure: the events of airsift for one of the demo's programmes.

::

    python -m bench.figures.readme_timeline [--programme north] [--out docs/figures/demo.svg]
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt

from airsift import config as configuration
from airsift.build import build_pipeline
from airsift.networks import build_model
from bench.report import Report, arguments
from model.backend import columns_of
from stream.audio import AudioChunk
from stream.demo.catalogue import build_catalogue
from stream.demo.clips import RATE, parts
from stream.demo.programme import Programme, Stretch, assemble, programmes
from stream.demo.score import score_labels, total
from stream.events import Decision, Match, Segment
from stream.resampler import Resampler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from airsift.config import Config
    from stream.events import Event

OUT = Path(__file__).parents[2] / "docs" / "figures" / "demo.svg"
NAMES = {"speech": "speech", "music": "music", "speech_over_music": "both", "other": "other"}
COLUMNS_PER_S = 5
# Mid grey is readable on white and on black.
GREY = "#768390"
COLOURS = {
    "speech": "#2f6fde", "music": "#c9741c", "speech_over_music": "#9a4fd0", "other": GREY,
    "named": "#1a7f5a",
}  # fmt: skip
STYLE = {
    "svg.hashsalt": "airsift", "svg.fonttype": "none", "font.size": 8, "text.color": GREY,
    "axes.labelcolor": GREY, "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
    "axes.spines.top": False, "axes.spines.right": False,
}  # fmt: skip


def run(programme: Programme) -> tuple[list[Event], Config]:
    """Return all events of the programme, with its tracks in the catalogue."""
    with tempfile.TemporaryDirectory() as folder:
        build_catalogue(Path(folder))
        config = configuration.load(sets=[f"identify.catalogue='{folder}'"]).config
        pipeline = build_pipeline(config)
        chunk = AudioChunk(programme.name, 0, programme.samples, RATE)
        return pipeline.push([chunk], last=True), config


def columns(programme: Programme, config: Config) -> NDArray[Any]:
    """Return the input of the network, averaged: [shape=(bins, times)]."""
    front_end, *_ = build_model(config)
    samples = Resampler(RATE, front_end.sample_rate).push(programme.samples, last=True)
    block = front_end.sample_rate // COLUMNS_PER_S
    values = columns_of(samples[None, : len(samples) // block * block], front_end)[0]
    per_time = block // front_end.hop
    times = len(values) // per_time
    return values[: times * per_time].reshape(times, per_time, -1, 2).mean(axis=(1, 3)).T


def draw(programme: Programme, events: list[Event], levels: NDArray[Any], path: Path) -> None:
    """Plot spectrum, probabilities, truth, segments and named tracks over time."""
    length_s = len(programme.samples) / RATE
    with plt.rc_context(STYLE):
        figure, (top, middle, bottom) = plt.subplots(
            3, 1, figsize=(9.6, 4.0), sharex=True, layout="constrained", height_ratios=(4, 3, 4)
        )
        top.set_title(f"{programme.title}: {length_s:.0f} s of a programme", loc="left")
        end_s = levels.shape[1] / COLUMNS_PER_S
        top.imshow(levels, origin="lower", aspect="auto", extent=(0, end_s, 0, 1),
                   cmap=plt.get_cmap("inferno", 32), interpolation="none")  # fmt: skip
        top.set_yticks([0, 1], ["80 Hz", "5 kHz"])
        decisions = [e for e in events if isinstance(e, Decision) and e.final]
        times = [(e.start + e.end) / 2 / e.rate for e in decisions]
        for label in ("music", "speech"):
            values = [getattr(e, f"p_{label}") for e in decisions]
            middle.plot(times, values, color=COLOURS[label], linewidth=1.2)
        middle.set_yticks([0, 0.5, 1])
        middle.grid(axis="y", color=GREY, alpha=0.3)
        rows = {
            "truth": [(s.start / 1000, s.end / 1000, s.label, NAMES[s.label])
                      for s in programme.stretches],
            "airsift": [(s.start / 1000, s.end / 1000, s.label, NAMES[s.label])
                        for s in segments(events)],
            "named": [(m.start / m.rate, m.end / m.rate, "named", title_of(m))
                      for m in matches(events)],
        }  # fmt: skip
        for row, bars in enumerate(rows.values()):
            for bar in bars:
                _bar(bottom, row, *bar, length_s=length_s)
        bottom.set_yticks(range(len(rows)), list(rows))
        bottom.set_ylim(2.5, -0.5)
        bottom.set_xlim(0, length_s)
        seconds = range(0, int(length_s) + 1, 20)
        bottom.set_xticks(seconds, [f"{s // 60}:{s % 60:02}" for s in seconds])
        handles = [mpl.patches.Patch(color=COLOURS[label], label=label.replace("_", " "))
                   for label in NAMES]  # fmt: skip
        figure.legend(handles=handles, loc="upper right", ncols=4, frameon=False)
        for axes in (top, middle, bottom):
            axes.patch.set_alpha(0)
        figure.patch.set_alpha(0)
        figure.savefig(path, metadata={"Date": None})


def _bar(
    axes: Axes, row: int, start_s: float, end_s: float, label: str, words: str, *, length_s: float
) -> None:
    """Draw a bar, with its words if they fit."""
    axes.barh(row, end_s - start_s, left=start_s, height=0.75, color=COLOURS[label], linewidth=0)
    if len(words) * length_s / 170 < end_s - start_s:
        middle_s = (start_s + end_s) / 2
        axes.text(middle_s, row, words, ha="center", va="center", color="white", fontsize=7)


def title_of(match: Match) -> str:
    return f"{parts()[match.track].artist.partition(' (')[0]}: {match.title}"


def segments(events: list[Event]) -> list[Stretch]:
    """Return the final segments, in milliseconds."""
    return [
        Stretch(e.start * 1000 // e.rate, e.end * 1000 // e.rate, e.label)
        for e in events
        if isinstance(e, Segment) and e.final
    ]


def matches(events: list[Event]) -> list[Match]:
    return [e for e in events if isinstance(e, Match) and e.final]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--programme", choices=programmes(), default=programmes()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    programme = assemble(options.programme)
    events, config = run(programme)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(programme, events, columns(programme, config), options.out)
    report = Report(f"{options.out.name}: {programme.title}")
    scores = score_labels(programme.stretches, segments(events))
    for label, score in scores.items():
        report.row(label, right_s=score.right / 1000, of_s=score.total / 1000, share=score.share)
    everything = total(list(scores.values()))
    report.row(
        "all",
        right_s=everything.right / 1000,
        of_s=everything.total / 1000,
        share=everything.share,
    )
    report.finish(options.json)


if __name__ == "__main__":
    main()
