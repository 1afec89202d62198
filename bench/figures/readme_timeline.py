"""Draw the README's figure from what airsift really says about one of the demo's programmes.

::

    python -m bench.figures.readme_timeline [--programme north] [--out docs/figures/demo.svg]
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift import config as configuration
from airsift.build import build_model, build_pipeline
from bench.report import Report, arguments
from bench.svg import Drawing, palette
from stream.audio import AudioChunk
from stream.demo.catalogue import build_catalogue
from stream.demo.clips import RATE, parts
from stream.demo.programme import Programme, Stretch, assemble, programmes
from stream.demo.score import score_labels, total
from stream.events import Decision, Match, Segment
from stream.resampler import Resampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airsift.config import Config
    from stream.events import Event

OUT = Path(__file__).parents[2] / "docs" / "figures" / "demo.svg"
NAMES = {"speech": "speech", "music": "music", "speech_over_music": "both", "other": "other"}
COLUMNS_PER_S = 5
SHADES = [(13, 17, 40), (64, 36, 120), (176, 58, 116), (246, 142, 72), (252, 240, 180)]
LEVELS = 32


def hear(programme: Programme) -> tuple[list[Event], Config]:
    """Return every event of the programme, its tracks being catalogued."""
    with tempfile.TemporaryDirectory() as folder:
        build_catalogue(Path(folder))
        config = configuration.load(sets=[f"identify.catalogue='{folder}'"]).config
        pipeline = build_pipeline(config)
        chunk = AudioChunk(programme.name, 0, programme.samples, RATE)
        return pipeline.push([chunk], last=True), config


def columns(programme: Programme, config: Config) -> NDArray[np.uint8]:
    """Return what the network is given, coarsened: [bins, times] in `LEVELS` shades."""
    front_end, *_ = build_model(config)
    samples = Resampler(RATE, front_end.sample_rate).push(programme.samples, last=True)
    block = front_end.sample_rate // COLUMNS_PER_S
    whole = torch.from_numpy(samples[: len(samples) // block * block])[None]
    with torch.inference_mode():
        values, _ = front_end(whole, front_end.initial_state(1))
    skipped = front_end.latency // front_end.hop
    values = values[0, skipped:]
    per_time = block // front_end.hop
    times = len(values) // per_time
    grouped = values[: times * per_time].reshape(times, per_time, -1, 2).mean(dim=(1, 3))
    shades = (grouped / grouped.quantile(0.998) * (LEVELS - 1)).clamp(0, LEVELS - 1)
    return shades.round().to(torch.uint8).numpy().T[::-1]


def draw(programme: Programme, events: list[Event], shades: NDArray[np.uint8]) -> Drawing:
    length_s = len(programme.samples) / RATE
    d = Drawing(960, 366, left=74, right=14, length_s=length_s)
    d.text(d.left, 16, f"{programme.title}: {length_s:.0f} s of a programme", "strong")
    _legend(d)
    d.image(length_s, 28, 96, shades, palette(SHADES, LEVELS))
    for words, y in (("5 kHz", 38), ("80 Hz", 122)):
        d.text(d.left - 8, y, words, "small", "end")
    _curves(d, [e for e in events if isinstance(e, Decision)], 142, 72)
    d.text(d.left - 8, 249, "truth", "strong", "end")
    for stretch in programme.stretches:
        words = NAMES[stretch.label]
        d.bar(stretch.start / 1000, stretch.end / 1000, 234, 22, stretch.label, words)
    d.text(d.left - 8, 277, "airsift", "strong", "end")
    for s in segments(events):
        d.bar(s.start / 1000, s.end / 1000, 262, 22, s.label, NAMES[s.label])
    d.text(d.left - 8, 307, "named", "strong", "end")
    for match in matches(events):
        words = f"{parts()[match.track].artist.partition(' (')[0]}: {match.title}"
        d.bar(match.start / match.rate, match.end / match.rate, 292, 22, "song", words)
    _axis(d, length_s, 322)
    return d


def segments(events: list[Event]) -> list[Stretch]:
    """Return the final segments, in milliseconds."""
    return [
        Stretch(e.start * 1000 // e.rate, e.end * 1000 // e.rate, e.label)
        for e in events
        if isinstance(e, Segment) and e.final
    ]


def matches(events: list[Event]) -> list[Match]:
    return [e for e in events if isinstance(e, Match) and e.final]


def _legend(d: Drawing) -> None:
    x = d.width - 14
    for name in ("other", "speech_over_music", "music", "speech"):
        words = name.replace("_", " ")
        x -= len(words) * 6.6 + 30
        d.bar((x - d.left) / (d.x(1) - d.x(0)), (x - d.left + 13) / (d.x(1) - d.x(0)), 6, 11, name)
        d.text(x + 17, 16, words, "small")


def _curves(d: Drawing, decisions: list[Decision], y: float, height: float) -> None:
    for words, share in (("1", 0.0), ("0.5", 0.5), ("0", 1.0)):
        d.line(d.left, y + share * height, d.width - 14, y + share * height)
        d.text(d.left - 8, y + share * height + 4, words, "small", "end")
    for kind, style in (("p_music", "music-curve"), ("p_speech", "speech-curve")):
        d.curve(
            [
                (d.x((e.start + e.end) / 2 / e.rate), round(y + height * (1 - getattr(e, kind)), 1))
                for e in decisions
            ],
            style,
        )


def _axis(d: Drawing, length_s: float, y: float) -> None:
    d.line(d.left, y, d.x(length_s), y)
    for second in range(0, int(length_s) + 1, 20):
        d.line(d.x(second), y, d.x(second), y + 5)
        d.text(d.x(second), y + 19, f"{second // 60}:{second % 60:02}", "small", "middle")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--programme", choices=programmes(), default=programmes()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    programme = assemble(options.programme)
    events, config = hear(programme)
    drawing = draw(programme, events, columns(programme, config))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        drawing.svg(
            "A radio programme over time: its spectrum, the probabilities of speech and music, "
            "the segments and song names that airsift gives, and the truth."
        ),
        encoding="utf-8",
    )
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
