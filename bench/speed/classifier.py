"""The cost of the network: embedding of blocks, predictions, and samples to predictions.

CPU time of one thread, so that other load on the machine counts for little: what it takes from the
caches. ``python -m bench.speed.classifier [--json FILE]``
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median

import torch

from bench.report import Report, arguments, median_s
from model import classifier
from model.frontend.rolling_cqt import RollingCQT, cqt
from model.units import Units

BLOCKS_S = (5, 15, 30, 60)
ROWS = (1, 2, 5, 8, 10, 16)

cpu_s = partial(median_s, clock=time.process_time)


def units(report: Report, unit: Units, row: str, seconds_of_row: float) -> None:
    """Compute units of different sizes, in turns."""
    rows = unit.examples(max(ROWS))
    taken: dict[int, list[float]] = {size: [] for size in ROWS}
    with torch.inference_mode():
        for _ in range(30):
            for size in ROWS:
                some = tuple(each[:size].clone() for each in rows)
                start = time.process_time()
                unit.function(*some)
                taken[size].append(time.process_time() - start)
    for size in ROWS:
        seconds = median(taken[size][5:])
        report.row(
            f"{unit.name}, unit of {size} {row}",
            cpu_s=seconds,
            x_real_time=size * seconds_of_row / seconds,
        )


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    loaded = classifier.load()
    spec = loaded.spec
    report = Report("classifier")
    columns_per_s = spec.sample_rate // spec.hop
    for seconds in BLOCKS_S:
        columns = torch.rand(1, seconds * columns_per_s, spec.n_bins) * 8.0
        taken = cpu_s(lambda columns=columns: loaded.embed(columns), repeats=15)
        report.row(f"embed, block of {seconds} s", cpu_s=taken, x_real_time=seconds / taken)
    embed, predict = loaded.units
    units(report, embed, "steps", 1.0)
    units(report, predict, "windows", 1.0)
    window = torch.rand(1, spec.window_columns, spec.n_bins) * 8.0
    taken = cpu_s(lambda: loaded.predict(loaded.embed(window)), repeats=30)
    report.row("one window of 5 s, alone", cpu_s=taken, x_real_time=5.0 / taken)

    front_end = RollingCQT()
    samples = torch.randn(1, 30 * spec.sample_rate) * 0.1

    def all_of_it() -> None:
        with torch.inference_mode():
            frames = loaded.embed(cqt(samples, front_end))
        windows = frames.unfold(1, spec.window_frames, spec.step_columns // spec.stride_columns)
        loaded.predict(windows.transpose(2, 3).flatten(0, 1))

    taken = cpu_s(all_of_it, repeats=15)
    report.row("samples to predictions, 30 s", cpu_s=taken, x_real_time=30.0 / taken)
    report.finish(options.json)


if __name__ == "__main__":
    main()
