"""Growth with the number of stations: CPU, memory and latency of one worker on one thread.

One worker process serves more and more stations. CPU times are those of each process, so they hold
under other load too; the broker and this process, which publishes and subscribes, are apart.

::

    python -m bench.stations                       # as fast as the worker follows
    python -m bench.stations --codec opus mp3 --stations 100 300 1000
    python -m bench.stations --chunk-ms 100 1000 10000 --stations 100
    python -m bench.stations --pace live           # in real time, with latencies
    python -m bench.stations --soak 20 --stations 50
    python -m bench.stations --plot growth.svg

With ``--pace free`` the next second of every station is published when the decisions about the one
before have come, so each station has one or two seconds on the way. This measures CPU and memory
where the machine is too slow, or too busy, for real time; it has no latency.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from bench.brokers import add_broker_option, make_broker, nodes
from bench.memory import resident_mb
from bench.report import Report, arguments
from bench.speed.latency import DRIVERS, PARTITIONS, Load, cpu_s, measure, pieces_of
from stream.kafka.client.connect import connect_producer, ensure_topics
from stream.kafka.settings import KafkaSettings, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COUNTS = (1, 10, 100, 300, 1000, 2000)
CODECS = ("pcm", "opus", "mp3")
LEAD_S = 7  # s until the windows of new stations are whole
MIN_STATION_S = 600  # station-seconds of a measurement; a second of few stations is too short
MAX_ROUNDS = 100
MANY = 100_000  # stations, for the arithmetic
STALL_S = 300.0


class Testbed(NamedTuple):
    """A worker, its broker, and the ends of its topics."""

    worker: int
    broker: Sequence[int]
    settings: KafkaSettings


@contextmanager
def testbed(driver: str, kind: str) -> Iterator[Testbed]:
    """Give a broker and a worker with identification off."""
    with make_broker(kind) as broker:
        settings = KafkaSettings.default(
            bootstrap_servers=broker.bootstrap_servers,
            topics=TopicSettings.default(partitions=PARTITIONS, replication=nodes(kind)),
        )
        topics = settings.topics
        ensure_topics(
            settings, [topics.audio, topics.dead_letters, topics.state, *topics.events.values()]
        )
        environment = os.environ | {
            "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "AIRSIFT_KAFKA__TOPICS__PARTITIONS": str(PARTITIONS),
            "AIRSIFT_KAFKA__TOPICS__REPLICATION": str(nodes(kind)),
            "AIRSIFT_WATCH__LEVEL": "warning",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "airsift", *DRIVERS[driver]]
        worker = subprocess.Popen(command, env=environment)
        try:
            yield Testbed(worker.pid, broker.pids, settings)
            if worker.poll() is not None:
                raise RuntimeError(f"the worker ended with {worker.returncode}")
        finally:
            worker.kill()
            worker.wait()


class Stations:
    """Stations whose audio comes second by second, and the final decisions about it."""

    def __init__(self, bed: Testbed, codec: str, chunk_ms: int) -> None:
        self._topics = bed.settings.topics
        self._producer = connect_producer(bed.settings)
        self._consumer = KafkaConsumer(
            bootstrap_servers=bed.settings.bootstrap_servers,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
        )
        decisions = self._topics.decisions
        self._consumer.assign(
            [TopicPartition(decisions, p) for p in range(self._topics.partitions)]
        )
        self._values, self._rate = pieces_of(codec, chunk_ms)
        self._chunk_ms = chunk_ms
        self._sent: list[int] = []  # chunks of each station
        self._decided: dict[str, float] = {}
        self._zero_ms = round(time.time() * 1000)

    def advance(self, count: int, seconds: int) -> None:
        """Publish `seconds` of the first `count` stations, one after the other."""
        self._sent += [0] * (count - len(self._sent))
        step = max(self._chunk_ms / 1000, 1.0)
        chunks = round(step * 1000 / self._chunk_ms)
        for _ in range(round(seconds / step)):
            for _ in range(chunks):
                for station in range(count):
                    self._send(station)
            self._wait_for(count, step)

    def _send(self, station: int) -> None:
        k = self._sent[station]
        message = self._values[k % len(self._values)]
        headers = dict(message.headers)
        headers["start_sample"] = b"%d" % (k * self._rate * self._chunk_ms // 1000)
        headers["time_ms"] = b"%d" % (self._zero_ms + k * self._chunk_ms)
        self._sent[station] += 1
        key = b"station %d" % station
        self._producer.send(self._topics.audio, message.value, key, list(headers.items()))

    def _wait_for(self, count: int, step: float) -> None:
        """Wait for the decisions about all but the last two steps of each station."""
        deadline = time.monotonic() + STALL_S
        late = set(range(count))
        while late:
            for messages in self._consumer.poll(timeout_ms=100).values():
                for message in messages:
                    event = json.loads(message.value)
                    self._decided[event["station"]] = event["end_s"]
                deadline = time.monotonic() + STALL_S
            late = {n for n in late if not self._is_decided(n, 2 * step)}
            if time.monotonic() > deadline:
                raise RuntimeError(f"no decisions for {STALL_S:g} s, {len(late)} stations wait")

    def _is_decided(self, station: int, lag_s: float) -> bool:
        sent_s = self._sent[station] * self._chunk_ms / 1000
        return self._decided.get(f"station {station}", 0.0) >= sent_s - lag_s or sent_s <= LEAD_S

    def close(self) -> None:
        self._consumer.close()
        self._producer.close(timeout=1)


def grow(
    report: Report, counts: Sequence[int], driver: str, codec: str, chunk_ms: int, kind: str
) -> list[dict[str, float]]:
    """Measure one worker with more and more stations."""
    rows: list[dict[str, float]] = []
    with testbed(driver, kind) as bed:
        stations = Stations(bed, codec, chunk_ms)
        chunk_s = -(-chunk_ms // 1000)
        for count in counts:
            # Until there are decisions about new stations: their first seconds are not measured.
            stations.advance(count, max(LEAD_S, 2 * chunk_s) + 3 * chunk_s)
            rounds = min(max(MIN_STATION_S // count, 6), MAX_ROUNDS) // chunk_s * chunk_s or chunk_s
            before = _used(bed)
            stations.advance(count, rounds)
            used = [after - then for after, then in zip(_used(bed), before, strict=True)]
            worker_ms, broker_ms, ends_ms = (1000 * cpu / (count * rounds) for cpu in used)
            row = {
                "stations": float(count),
                "chunk_ms": float(chunk_ms),
                "worker_ms": worker_ms,
                "stations_per_core": 1000 / worker_ms,
                "broker_ms": broker_ms,
                "producer_ms": ends_ms,
                "worker_mb": resident_mb(bed.worker),
            }
            print(driver, codec, row, file=sys.stderr, flush=True)
            report.row(f"{codec}, {driver}, {kind}", **row)
            rows.append(row)
        stations.close()
    return rows


def _used(bed: Testbed) -> tuple[float, float, float]:
    """Return the CPU seconds of the worker, of the broker and of this process."""
    return cpu_s(bed.worker), sum(map(cpu_s, bed.broker)), time.process_time()


def arithmetic(report: Report, name: str, rows: Sequence[dict[str, float]], codec: str) -> None:
    """Report what many stations would take, by the largest measurement."""
    few, many = rows[0], rows[-1]
    added = many["stations"] - few["stations"]
    memory = {}
    if added:
        station_mb = (many["worker_mb"] - few["worker_mb"]) / added
        memory = {"station_kb": 1024 * station_mb, "memory_gb": MANY * station_mb / 1024}
    values, _ = pieces_of(codec, int(many["chunk_ms"]))
    byte_rate = len(values[0].value or b"") * 1000 / many["chunk_ms"]
    report.row(
        f"{name}, {MANY:,} stations",
        worker_cores=MANY * many["worker_ms"] / 1000,
        broker_cores=MANY * many["broker_ms"] / 1000,
        gbit_per_s=8 * MANY * byte_rate / 1e9,
        **memory,
    )


def soak(report: Report, count: int, minutes: float, driver: str, kind: str) -> None:
    """Report the memory of a worker that runs for long, and its slope in the second half."""
    with testbed(driver, kind) as bed:
        stations = Stations(bed, "pcm", 1000)
        began, audio_s = time.monotonic(), 0
        samples: list[tuple[float, float, float]] = []
        while (passed := time.monotonic() - began) < 60 * minutes:
            stations.advance(count, 10)
            audio_s += 10
            samples.append((passed, audio_s, resident_mb(bed.worker)))
            print(
                f"{passed:.0f} s {audio_s} s {samples[-1][2]:.1f} MB", file=sys.stderr, flush=True
            )
        stations.close()
    late = np.array(samples[len(samples) // 2 :])
    report.row(
        f"{count} stations, {minutes:g} minutes, {driver}, {kind}",
        audio_s=float(audio_s),
        first_mb=samples[0][2],
        half_mb=float(late[0, 2]),
        last_mb=float(late[-1, 2]),
        mb_per_hour=float(np.polyfit(late[:, 0] / 3600, late[:, 2], 1)[0]),
        mb_per_audio_hour=float(np.polyfit(late[:, 1] / 3600, late[:, 2], 1)[0]),
    )


def plot(path: Path, curves: dict[str, list[dict[str, float]]]) -> None:
    """Draw the cores that a worker needs over the stations, and where one core is full."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "airsift"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for name, rows in curves.items():
        x = [row["stations"] for row in rows]
        y = [row["stations"] * row["worker_ms"] / 1000 for row in rows]
        # Between the measurements, as the line is drawn; beyond them, as the largest one.
        full = np.interp(0.0, np.log(y), np.log(x), right=np.log(x[-1] / y[-1]))
        axes.plot(x, y, marker="o", label=f"{name}: a core is full at {np.exp(full):,.0f}")
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="stations", ylabel="cores of the worker")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--stations", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--codec", nargs="+", choices=CODECS, default=["pcm"])
    parser.add_argument("--chunk-ms", nargs="+", type=int, default=[1000])
    parser.add_argument("--driver", nargs="+", choices=list(DRIVERS), default=["run"])
    parser.add_argument("--pace", choices=("free", "live"), default="free")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each live measurement")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="memory over time instead")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    add_broker_option(parser, "embedded")
    options = parser.parse_args()
    report = Report("Stations of one worker; ms of CPU for a second of one station")
    curves: dict[str, list[dict[str, float]]] = {}
    for driver in options.driver:
        if options.soak:
            soak(report, options.stations[0], options.soak, driver, options.broker)
            continue
        for codec in options.codec:
            for chunk_ms in options.chunk_ms:
                if options.pace == "live":
                    for count in options.stations:
                        load = Load(count, chunk_ms, codec)
                        row = measure(driver, load, options.seconds, options.broker)
                        report.row(f"{codec}, {driver}, {options.broker}, live", **row)
                    continue
                rows = grow(report, options.stations, driver, codec, chunk_ms, options.broker)
                name = f"{codec}, {chunk_ms} ms, {driver}"
                curves[name] = rows
    for name, rows in curves.items():
        arithmetic(report, name, rows, name.partition(",")[0])
    if options.plot is not None and curves:
        plot(options.plot, curves)
    report.finish(options.json)


if __name__ == "__main__":
    main()
