"""The pipeline with other sizes of units, in turns: which rows to compute at once.

``model.units.SIZES`` is chosen by this table. CPU time of one thread for a second of audio, the
median of the rounds. Sizes that change bits on this processor are computed as well: this is about
cost alone. ``python -m bench.speed.units [--json FILE]``
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING
from unittest import mock

import torch

from airsift import config
from airsift.build import build_pipeline
from bench.report import Report, arguments
from bench.speed.pipeline import recording
from model import units
from stream.audio import AudioChunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.pipeline import Pipeline

SIZES = ((1,), (2, 8), units.SIZES, (16,))
RATE = 16_000
SECONDS = 20


def pipeline(sizes: tuple[int, ...]) -> Pipeline:
    """Return a pipeline whose units have the given sizes and no others."""
    with mock.patch.object(units, "checked_sizes", return_value=sizes):
        settings = config.load(sets=["model.backend=torch"], environ={}).config
        return build_pipeline(settings, ready=True)


def pushes(stations: int, push_s: int) -> list[list[AudioChunk]]:
    """Return the audio of all stations, push by push."""
    samples = recording(SECONDS, RATE)
    step = push_s * RATE
    return [
        [
            AudioChunk(f"station {k}", start, samples[start : start + step], RATE)
            for k in range(stations)
        ]
        for start in range(0, len(samples), step)
    ]


def cpu_s(made: Pipeline, audio: Sequence[list[AudioChunk]]) -> float:
    start = time.process_time()
    for chunks in audio:
        made.push(chunks)
    made.push([], last=True)
    return time.process_time() - start


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("Units of other sizes: ms of CPU for a second of audio")
    made = {sizes: pipeline(sizes) for sizes in SIZES}
    for name, stations, push_s in (
        ("a file, 10 s at a push", 1, 10), ("one station, live", 1, 1),
        ("eight stations, live", 8, 1),
    ):  # fmt: skip
        audio = pushes(stations, push_s)
        taken: dict[tuple[int, ...], list[float]] = {sizes: [] for sizes in SIZES}
        for _ in range(options.rounds + 1):
            for sizes, each in made.items():
                taken[sizes].append(cpu_s(each, audio) / stations / SECONDS * 1e3)
        report.row(
            name, **{" ".join(map(str, sizes)): median(of[1:]) for sizes, of in taken.items()}
        )
    report.finish(options.json)


if __name__ == "__main__":
    main()
