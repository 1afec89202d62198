"""Speed of the rolling constant-Q transform and of nnAudio's CQT1992v2, on one thread.

The first table compares both on the same pushes, in turns, so that other load slows both; results
are medians. The second has pushes of 1 s from every station of a batch, and shows where a batch
exceeds the processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.report import Report, arguments, median_s
from model.frontend.base import TensorFrontEnd
from model.frontend.rolling_cqt import make_front_end

if TYPE_CHECKING:
    from collections.abc import Callable

PUSHES = [("1 station, 30 s pushes", 1, 30), ("1 station, 1 s pushes", 1, 1)]
PUSHES += [("16 stations, 1 s pushes", 16, 1)]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 256]
SECONDS_PER_RESULT = 2.0


def pushing(front_end: TensorFrontEnd, batch: int, seconds: int) -> Callable[[], object]:
    """Return a function that pushes the next `seconds` of every station."""
    samples = torch.rand(batch, seconds * front_end.sample_rate) - 0.5
    state = front_end.initial_state(batch)

    def push() -> None:
        nonlocal state
        _, state = front_end(samples, state)

    return push


def compare(report: Report) -> None:
    rolling, reference = make_front_end("rolling"), make_front_end("nnaudio")
    for name, batch, seconds in PUSHES:
        calls = [pushing(front_end, batch, seconds) for front_end in (rolling, reference)]
        slow = median_s(calls[1], repeats=3, warmup=1)
        rounds = max(3, int(SECONDS_PER_RESULT / slow))
        times = [[median_s(call, repeats=5, warmup=1) for call in calls] for _ in range(rounds)]
        fast, slow = (sorted(column)[rounds // 2] for column in zip(*times, strict=True))
        report.row(
            name,
            rolling_ms=1e3 * fast,
            nnaudio_ms=1e3 * slow,
            rolling_x_real_time=batch * seconds / fast,
            nnaudio_x_real_time=batch * seconds / slow,
            ratio=slow / fast,
        )


def batches(report: Report) -> None:
    rolling = make_front_end("rolling")
    for batch in BATCHES:
        push = pushing(rolling, batch, 1)
        once = median_s(push, repeats=5)
        taken = median_s(push, repeats=max(5, int(SECONDS_PER_RESULT / once)), warmup=0)
        report.row(
            f"{batch} stations",
            push_ms=1e3 * taken,
            station_second_us=1e6 * taken / batch,
            x_real_time=batch / taken,
        )


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    report = Report("CQT: rolling beside nnAudio's CQT1992v2, and 1 s pushes of many stations")
    with torch.inference_mode():
        compare(report)
        batches(report)
    report.finish(options.json)


if __name__ == "__main__":
    main()
