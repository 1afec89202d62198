"""Latency of events at a subscriber, and the number of stations that one process can handle.

In real time: one process publishes the stations, one worker processes them, a third process is the
broker, and this one subscribes. Latency is measured twice: from the last sample that an event needs
(this includes the wait for the rest of its message), and from the completion of that message.

::

    python -m bench.speed.latency
    python -m bench.speed.latency --only 50 --driver run --seconds 20
    python -m bench.speed.latency --only 50 300 --driver run worker --broker kafka
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from bench.brokers import add_broker_option, make_broker, nodes
from bench.memory import resident_mb
from bench.report import Report, arguments
from model.frontend.kernels import latency, octaves
from stream.audio import AudioChunk
from stream.kafka.client.connect import connect_producer, ensure_topics
from stream.kafka.codec.message import Message, encode
from stream.kafka.settings import KafkaSettings, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event

RATE = 16_000
PARTITIONS = 8
DRIVERS = {"run": ["run", "--source", "kafka", "--sink", "kafka"], "worker": ["worker"]}
FRONT_END_S = latency(octaves()) / RATE  # audio after a window that its last column needs
VALUES = 40  # different messages, encoded beforehand
LEAD_S = 8.0  # at first there are no whole windows
START_S = 120.0


class Load(NamedTuple):
    """The stations, and the number of other busy processes."""

    stations: int
    chunk_ms: int
    codec: str
    others: int = 0


LOADS = {
    "3": Load(3, 100, "pcm"),
    "50": Load(50, 100, "pcm"),
    "50 busy": Load(50, 100, "pcm", others=2),
    "300": Load(300, 1000, "pcm"),
    "300 opus": Load(300, 1000, "opus"),
}


def pieces_of(codec: str, chunk_ms: int) -> tuple[list[Message], int]:
    """Return the messages that stations send in turns, encoded beforehand, and their rate."""
    rng = np.random.default_rng(1)
    rate = RATE if codec == "pcm" else 48_000
    n = rate * chunk_ms // 1000
    t = np.arange(VALUES * n) / rate
    tune = 220 * 2 ** (rng.integers(0, 24, len(t) * 4 // rate + 1) / 12)
    samples = 0.3 * np.sin(2 * np.pi * tune[(t * 4).astype(int)] * t)
    samples += 0.02 * rng.standard_normal(len(t))
    pieces = samples.astype(np.float32).reshape(VALUES, n)
    return [encode(AudioChunk("x", 0, piece, rate, 0.0), codec) for piece in pieces], rate


def produce(settings: KafkaSettings, load: Load, off: Event, spent: Any) -> None:
    """Publish until `off`; stations have different phases, messages are sent when complete."""
    values, rate = pieces_of(load.codec, load.chunk_ms)
    n = rate * load.chunk_ms // 1000
    rng = np.random.default_rng(1)
    chunk_s = load.chunk_ms / 1000
    offsets = rng.random(load.stations) * chunk_s
    order = np.argsort(offsets)
    producer = connect_producer(settings)
    used = time.process_time()
    began = time.time() + 1.0
    k = 0
    while not off.is_set():
        for station in order:
            zero = began + offsets[station]
            wait = zero + (k + 1) * chunk_s - time.time()
            if wait > 0.002:
                time.sleep(wait)
            message = values[k % VALUES]
            time_ms = round((zero + k * chunk_s) * 1000)
            headers = dict(message.headers)
            headers |= {"start_sample": b"%d" % (k * n), "time_ms": b"%d" % time_ms}
            key = b"station %d" % station
            producer.send(settings.topics.audio, message.value, key, list(headers.items()))
        k += 1
    spent.value = (time.process_time() - used) / (time.time() - began)
    producer.close(timeout=1)


def compute(off: Event) -> None:
    """Use a core until `off`."""
    values = np.random.default_rng(1).standard_normal(1 << 16)
    while not off.is_set():
        np.sort(values)


class ReadDecision(NamedTuple):
    """A decision: Unix time of its receipt, and both latencies."""

    at: float
    of_sample: float
    of_message: float


def subscribe(settings: KafkaSettings, load: Load) -> Iterator[list[ReadDecision]]:
    """Yield the decisions as they are published."""
    topics = settings.topics
    consumer = KafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    consumer.assign([TopicPartition(topics.decisions, p) for p in range(topics.partitions)])
    try:
        while True:
            read_decisions = []
            for messages in consumer.poll(timeout_ms=100).values():
                now = time.time()
                for message in messages:
                    event = json.loads(message.value)
                    start = datetime.fromisoformat(event["time"]).timestamp()
                    zero = start - event["start_sample"] / RATE
                    needed = event["end_sample"] / RATE + FRONT_END_S
                    whole = -(-round(needed * 1000) // load.chunk_ms) * load.chunk_ms / 1000
                    read_decisions.append(
                        ReadDecision(now, now - zero - needed, now - zero - whole)
                    )
            yield read_decisions
    finally:
        consumer.close()


def wait_until_current(decisions: Iterator[list[ReadDecision]], load: Load) -> None:
    """Read until the worker keeps up, or clearly does not."""
    began, recent = time.time(), deque[ReadDecision](maxlen=2 * load.stations)
    for read_decisions in decisions:
        recent.extend(read_decisions)
        late = [one for one in recent if one.of_message > 2.0]
        if len(recent) == recent.maxlen and not late and time.time() - began > LEAD_S:
            return
        if time.time() - began > START_S:
            return


def measure(driver: str, load: Load, seconds: float, kind: str) -> dict[str, float]:
    """Return the figures of one load on a broker of a kind."""
    context = get_context("spawn")
    off, spent = context.Event(), context.Value("d", 0.0)
    with make_broker(kind) as broker:
        settings = KafkaSettings.default(
            bootstrap_servers=broker.bootstrap_servers,
            topics=TopicSettings.default(partitions=PARTITIONS, replication=nodes(kind)),
        )
        topics = settings.topics
        names = [topics.audio, topics.dead_letters, topics.state, *topics.events.values()]
        ensure_topics(settings, names)
        environment = os.environ | {
            "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "AIRSIFT_KAFKA__TOPICS__PARTITIONS": str(PARTITIONS),
            "AIRSIFT_KAFKA__TOPICS__REPLICATION": str(nodes(kind)),
            "OMP_NUM_THREADS": "1",
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "airsift", *DRIVERS[driver]], env=environment
        )
        producer = context.Process(target=produce, args=(settings, load, off, spent), daemon=True)
        others = [
            context.Process(target=compute, args=(off,), daemon=True) for _ in range(load.others)
        ]
        pids = {"worker": [worker.pid], "broker": broker.pids}
        decisions = subscribe(settings, load)
        read_decisions: list[ReadDecision] = []
        try:
            for process in (producer, *others):
                process.start()
            wait_until_current(decisions, load)
            before = {name: sum(map(cpu_s, each)) for name, each in pids.items()}
            began = time.time()
            while time.time() < began + seconds:
                read_decisions += next(decisions)
            took = time.time() - began
            after = {name: sum(map(cpu_s, each)) for name, each in pids.items()}
            used = {name: (after[name] - before[name]) / took for name in pids}
            worker_mb = resident_mb(worker.pid)
            if worker.poll() is not None:
                raise RuntimeError(f"the worker ended with {worker.returncode}")
            if not producer.is_alive():
                raise RuntimeError(f"the producer ended with {producer.exitcode}")
        finally:
            off.set()
            decisions.close()
            for process in (producer, *others):
                if process.pid is not None:
                    process.join(20)
                    process.kill()
            worker.kill()
            worker.wait()
    expected = load.stations * seconds
    _, sample, message = np.array(read_decisions or [(np.nan,) * 3]).T * 1000
    return {
        "stations": float(load.stations),
        "chunk_ms": float(load.chunk_ms),
        "p50_ms": float(np.percentile(sample, 50)),
        "p99_ms": float(np.percentile(sample, 99)),
        "message_p50_ms": float(np.percentile(message, 50)),
        "message_p99_ms": float(np.percentile(message, 99)),
        "read_share": len(read_decisions) / expected,
        "worker_cpu": used["worker"],
        "worker_mb": worker_mb,
        "broker_cpu": used["broker"],
        "producer_cpu": spent.value,
    }


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(LOADS), default=list(LOADS))
    parser.add_argument("--driver", nargs="+", choices=list(DRIVERS), default=["run"])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    add_broker_option(parser, "embedded")
    options = parser.parse_args()
    report = Report("Latency: from the last sample needed to the event at a subscriber")
    for driver in options.driver:
        for name in options.only:
            row = measure(driver, LOADS[name], options.seconds, options.broker)
            print(name, driver, row, file=sys.stderr, flush=True)
            report.row(f"{name}, {driver}, {options.broker}", **row)
    report.finish(options.json)


if __name__ == "__main__":
    main()
