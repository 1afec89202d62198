"""The cost of telemetry and of a station, for docs/operating.md.

The first table is the same audio of many stations with and without metrics, in turns. The second
is the cost of a station: resident memory, size of the snapshot and of the events, on audio that
changes every half minute. The third, with ``--broker``, is the cost of a worker and its broker
with 50 stations in real time, published as by `latency.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import numpy as np

from airsift import config
from airsift.build import build_pipeline, query_times
from bench.brokers import add_broker_option
from bench.memory import resident_mb
from bench.report import Report, arguments
from bench.speed.latency import DRIVERS, LOADS, measure
from stream.audio import AudioChunk
from stream.runner import Stop, run_source
from stream.sinks.base import Sink
from stream.sources.base import Source
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.telemetry.observer import NullObserver
from stream.telemetry.telemetry import Telemetry

RATE = 16_000
CONFIG = config.load(environ={}).config


class Recorded(Source):
    """A source of batches made beforehand. As of Kafka's, snapshots are taken of its stations."""

    resumable = True

    def __init__(self, batches: list[list[AudioChunk]]) -> None:
        self.batches = batches

    def __iter__(self):
        yield from self.batches


class Collect(Sink):
    """A sink that keeps the last run's events."""

    def __init__(self) -> None:
        self.events = []

    def write(self, events):
        self.events += events


class KnowsNothing:
    """A matcher without tracks: what identifying costs in memory, without a catalogue's."""

    def extract(self, samples):
        return samples

    def match(self, landmarks):
        return []


def batches(stations: int, seconds: int) -> list[list[AudioChunk]]:
    """Return one batch a second, with a second of every station, as a poll would give them."""
    rng = np.random.default_rng(0)
    t = np.arange(seconds * RATE) / RATE
    tones = np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 1318 * t)
    mix = 0.2 * tones * (t % 60 < 30) + 0.05 * rng.standard_normal(len(t)) * (t % 45 < 25)
    pieces = mix.astype(np.float32).reshape(seconds, RATE)
    now = time.time()
    return [
        [AudioChunk(f"station {s}", n * RATE, piece, RATE, now + n) for s in range(stations)]
        for n, piece in enumerate(pieces)
    ]


def watched(report: Report, stations: int, seconds: int, rounds: int) -> None:
    given = batches(stations, seconds)
    taken: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * rounds + 2):
        on = bool(number % 2)
        source, pipeline, sink = Recorded(given), build_pipeline(CONFIG), Collect()
        observer = NullObserver()
        if on:
            observer = Telemetry(CONFIG.watch)
            observer.bind(source, pipeline, [sink])
        began = time.process_time()
        run_source(source, pipeline, [sink], checkpoint_s=2.0, stop=Stop(), observer=observer)
        if number >= 2:
            taken[on].append(time.process_time() - began)
    audio_s = stations * seconds
    for name, on in (("not watched", False), ("watched", True)):
        cpu = median(taken[on])
        report.row(
            f"{stations} stations, a second of each at once, {name}",
            cpu_s=cpu,
            x_real_time_of_cpu=audio_s / cpu,
            to_not_watched=cpu / median(taken[False]),
        )


def cost(stations: int, seconds: int, identified: bool) -> dict[str, float]:
    """Return what a station costs; in a process of its own, where no memory lies about unused."""
    pipeline = build_pipeline(CONFIG)
    if identified:
        named = Identify(for_all(KnowsNothing()), query_times(CONFIG, RATE))
        named.sessions = pipeline.sessions
        pipeline.stages = (*pipeline.stages, named)
    given = batches(1, seconds)
    size: Counter[str] = Counter()
    for station in range(-3, stations):  # the first three fill caches
        if station == 0:
            before = resident_mb()
        for batch in given:
            chunks = [
                AudioChunk(f"station {station}", c.start, c.samples.copy(), RATE, c.time)
                for c in batch
            ]
            for event in pipeline.push(chunks):
                size[event.kind] += len(event.to_json())
    hours = (stations + 3) * seconds / 3600
    return {
        "resident_mb": (resident_mb() - before) / stations,
        "snapshot_bytes": len(pipeline.snapshot("station 0").data),
        "decisions_kb_per_hour": size["decision"] / hours / 1000,
        "segments_kb_per_hour": size["segment"] / hours / 1000,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    add_broker_option(parser, "")
    options = parser.parse_args()
    report = Report("Operating")
    watched(report, options.stations, options.seconds, options.rounds)
    for name, identified in (("without", False), ("with", True)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            values = alone.submit(cost, options.stations, options.seconds, identified).result()
        report.row(f"a station, {name} identification", **values)
    if options.broker:
        for driver in DRIVERS:
            row = measure(driver, LOADS["50"], options.seconds, options.broker)
            wanted = ("worker_cpu", "worker_mb", "broker_cpu", "message_p99_ms")
            report.row(
                f"50 stations, {driver}, {options.broker}", **{name: row[name] for name in wanted}
            )
    report.finish(options.json)


if __name__ == "__main__":
    main()
