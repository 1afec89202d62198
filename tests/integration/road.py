"""The road over Kafka, from the outside: publish, start a driver, read its events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from stream.kafka.client.connect import ensure_topics
from stream.kafka.settings import KafkaSettings
from stream.testing import write_wav

AIRSIFT = [sys.executable, "-m", "airsift"]
RATE = 16000
DRIVERS = {"run": ["run", "--source", "kafka", "--sink", "kafka"], "worker": ["worker"]}
TOPICS = ("airsift.decisions", "airsift.segments", "airsift.matches", "airsift.gaps")


def make_environment(broker, partitions):
    """Return the environment of processes that use `broker`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
    return {
        **clean,
        "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "AIRSIFT_KAFKA__TOPICS__PARTITIONS": str(partitions),
        "AIRSIFT_KAFKA__SESSION_TIMEOUT_S": "6",
        "AIRSIFT_RUN__CHECKPOINT_S": "0.5",
    }


def recording(path: Path, seconds: int, seed: int) -> Path:
    """Write notes, noise and silence in turns."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE // 4) / RATE
    parts = []
    while sum(map(len, parts)) < seconds * RATE:
        for _ in range(rng.integers(30, 70)):
            f = 220 * 2 ** (rng.integers(0, 24) / 12)
            parts.append(np.sin(2 * np.pi * f * t) * np.exp(-6 * t))
        parts.append(0.05 * rng.standard_normal(rng.integers(8, 15) * RATE))
        parts.append(np.zeros(rng.integers(5, 12) * RATE))
    samples = 0.4 * np.concatenate(parts)[: seconds * RATE]
    return write_wav(path, samples)


def publish(environment, path, station, *options):
    return subprocess.run(
        [*AIRSIFT, "publish", str(path), "--station", station, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start(driver, environment) -> subprocess.Popen:
    return subprocess.Popen(
        [*AIRSIFT, *DRIVERS[driver]],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


class Subscriber:
    """Reads the output topics from the start; knows nothing of airsift but their names."""

    def __init__(self, broker, prefix="airsift"):
        from kafka import KafkaConsumer

        names = [topic.replace("airsift", prefix) for topic in TOPICS]
        # One that comes up later is found by kafka-python only after a while.
        settings = KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(settings, names)
        self.consumer = KafkaConsumer(
            *names,
            bootstrap_servers=broker.bootstrap_servers,
            auto_offset_reset="earliest",
        )
        self.events: list[dict] = []

    def read_until(self, enough, timeout_s=90.0):
        deadline = time.monotonic() + timeout_s
        while not enough(self.events):
            assert time.monotonic() < deadline, f"after {len(self.events)} events still not enough"
            for messages in self.consumer.poll(timeout_ms=200).values():
                self.events += [json.loads(message.value) for message in messages]
        return self.events

    def drain(self):
        """Read what is left of what a process that has ended published."""
        while messages := self.consumer.poll(timeout_ms=1500):
            self.events += [json.loads(m.value) for batch in messages.values() for m in batch]
        return self.events


def of(events, kind, station=None):
    return [
        event
        for event in events
        if event["schema"] == f"airsift.{kind}/1" and station in (None, event["station"])
    ]


def last_decision(events, station):
    return max((event["end_s"] for event in of(events, "decision", station)), default=0)


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(20)
    finally:
        process.kill()
        process.stderr.close()


def is_running(pid):
    """Return whether there is such a process and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def by_id(events):
    """Return what a subscriber holds in the end: of each id the last, without open segments."""
    return {e["id"]: e for e in events if e.get("final", True)}


def as_line(event):
    return json.dumps(event)


def tune(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """Return plucked notes, four a second."""
    rng = np.random.default_rng(seed)
    n = rate // 4
    t = np.arange(n) / rate
    notes = []
    for _ in range(round(seconds * 4)):
        f = 220 * 2 ** (rng.integers(0, 24) / 12)
        notes.append(sum(np.sin(2 * np.pi * f * k * t) / k for k in (1, 2, 3)) * np.exp(-6 * t))
    return (0.4 * np.concatenate(notes)).astype(np.float32)
