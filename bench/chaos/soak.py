"""An hour of eight stations as fast as one worker can process it, with its memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from bench.chaos.expected import Truth
from bench.chaos.stations import RATE, stations
from bench.chaos.testbed import N_STATIONS, Testbed
from bench.memory import resident_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.kafka.codec.message import Message


def soak(driver: str, seed: int, kind: str, minutes: int = 60) -> dict[str, float]:
    """Play `minutes` of eight stations without a pause to one worker."""
    with Testbed(driver, seed, kind) as testbed:
        playing = stations(N_STATIONS, seed, chunk=RATE)
        names = [station.name for station in playing]
        end_s = 60.0 * minutes

        def plan() -> Iterator[list[Message]]:
            for k in range(60 * minutes):
                # At most 120 s ahead of the worker: the broker holds all of it in memory.
                while k > min(list(testbed.subscriber.processed.values()), default=0.0) + 120:
                    time.sleep(0.05)
                yield [station.message(k * RATE) for station in playing]

        worker = testbed.workers.start()
        began = time.monotonic()
        testbed.play(plan(), seconds_each=1.0, speed=1e6)
        memory: list[tuple[float, float, float]] = []  # (wall s, audio s of a station, MB)
        while (
            processed := min(testbed.subscriber.processed.get(n, 0.0) for n in names)
        ) < end_s - 5:
            if worker.poll() is not None or time.monotonic() - began > 1800:
                raise RuntimeError(f"the soak ended at {processed:g} s\n{testbed.workers.logs()}")
            memory.append((time.monotonic() - began, processed, resident_mb(worker.pid)))
            time.sleep(1.0)
        wall, audio, resident = np.array(memory).T
        # Without the start, which fills caches.
        steady = audio > end_s / 6
        rounds = testbed.publisher.off() if testbed.publisher else 0
        truth = Truth()
        for station in playing:
            truth.add(station.message(k * RATE) for k in range(rounds))
        row = testbed.result(truth)
    per_wall = np.polyfit(wall[steady] / 3600, resident[steady], 1)[0]
    per_audio = np.polyfit(audio[steady] / 3600, resident[steady], 1)[0]
    return row | {
        "wall_s": wall[-1],
        "x_real_time": N_STATIONS * audio[-1] / wall[-1],
        "resident_mb": resident[-1],
        "grown_mb": resident[-1] - resident[steady][0],
        "mb_per_wall_h": per_wall,
        "mb_per_audio_h": per_audio / N_STATIONS,
    }
