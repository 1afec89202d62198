"""The cost of the network: embedding of blocks, decisions, and samples to decisions.

One thread. ``python -m bench.speed.classifier [--json FILE]``
"""

from __future__ import annotations

import time
from statistics import median

import torch

from bench.report import Report, arguments, median_s
from model import classifier
from model.frontend.rolling_cqt import RollingCQT, cqt

BLOCKS_S = (5, 15, 30, 60)
ROWS = (1, 2, 4, 8, 16)


def units(report: Report, loaded: classifier.Classifier) -> None:
    """Embed steps of 1 s in units of different sizes, in turns."""
    (rows,) = loaded.units[0].examples(max(ROWS))
    taken: dict[int, list[float]] = {size: [] for size in ROWS}
    with torch.inference_mode():
        for _ in range(30):
            for size in ROWS:
                unit = rows[:size].clone()
                start = time.perf_counter()
                loaded.units[0].function(unit)
                taken[size].append(time.perf_counter() - start)
    for size in ROWS:
        seconds = median(taken[size][5:])
        report.row(f"embed, unit of {size} steps", seconds=seconds, x_real_time=size / seconds)


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    loaded = classifier.load()
    spec = loaded.spec
    report = Report("classifier")
    columns_per_s = spec.sample_rate // spec.hop
    for seconds in BLOCKS_S:
        columns = torch.rand(1, seconds * columns_per_s, spec.n_bins) * 8.0
        taken = median_s(lambda columns=columns: loaded.embed(columns), repeats=15)
        report.row(f"embed, block of {seconds} s", seconds=taken, x_real_time=seconds / taken)
    units(report, loaded)
    window = torch.rand(1, spec.window_columns, spec.n_bins) * 8.0

    def alone() -> None:
        frames = loaded.embed(window)
        loaded.decide(frames)
        loaded.locate(frames)

    taken = median_s(alone, repeats=30)
    report.row("one window of 5 s, alone", seconds=taken, x_real_time=5.0 / taken)

    frames = loaded.embed(torch.rand(1, 30 * columns_per_s, spec.n_bins) * 8.0)
    windows = frames.unfold(1, spec.window_frames, spec.step_columns // spec.stride_columns)
    windows = windows.transpose(2, 3).flatten(0, 1).contiguous()
    taken = median_s(lambda: loaded.decide(windows), repeats=30)
    report.row(f"decide, {len(windows)} windows of 30 s", seconds=taken, x_real_time=30.0 / taken)
    taken = median_s(lambda: loaded.locate(windows), repeats=30)
    report.row(f"locate, {len(windows)} windows of 30 s", seconds=taken, x_real_time=30.0 / taken)

    front_end = RollingCQT()
    samples = torch.randn(1, 30 * spec.sample_rate) * 0.1

    def all_of_it() -> None:
        with torch.inference_mode():
            loaded.embed(cqt(samples, front_end))
        loaded.decide(windows)
        loaded.locate(windows)

    taken = median_s(all_of_it, repeats=15)
    report.row("samples to decisions, 30 s", seconds=taken, x_real_time=30.0 / taken)
    report.finish(options.json)


if __name__ == "__main__":
    main()
