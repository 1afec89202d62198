"""The whole road over a real broker: publish, run, tail; and a run that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from stream.kafka.embedded import EmbeddedBroker

AIRSIFT = [sys.executable, "-m", "airsift"]
RATE = 16000
TOPICS = ("airsift.decisions", "airsift.segments", "airsift.matches", "airsift.gaps")


@pytest.fixture
def broker():
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def environment(broker):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
    return {
        **clean,
        "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "AIRSIFT_KAFKA__TOPICS__PARTITIONS": "2",
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
    samples = (0.4 * np.concatenate(parts)[: seconds * RATE] * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def publish(environment, path, station, *options):
    return subprocess.run(
        [*AIRSIFT, "publish", str(path), "--station", station, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start_run(environment) -> subprocess.Popen:
    return subprocess.Popen(
        [*AIRSIFT, "run", "--source", "kafka", "--sink", "kafka"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


class Subscriber:
    """Reads the output topics from the start; knows nothing of airsift but their names."""

    def __init__(self, broker, prefix="airsift"):
        from kafka import KafkaConsumer

        self.consumer = KafkaConsumer(
            *(topic.replace("airsift", prefix) for topic in TOPICS),
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


def by_id(events):
    """Return what a subscriber holds in the end: of each id the last, without open segments."""
    final = {e["id"]: e for e in events if e.get("final", True)}
    return {k: {**v, "score": None, "p_speech": None, "p_music": None} for k, v in final.items()}


def test_publish_run_tail(broker, environment, tmp_path):
    path = recording(tmp_path / "a station.wav", 60, seed=1)
    for station, codec in (("one", "pcm"), ("two", "flac"), ("three", "opus"), ("four", "mp3")):
        result = publish(environment, path, station, "--fast", "--codec", codec)
        assert result.returncode == 0, result.stderr
    process = start_run(environment)
    subscriber = Subscriber(broker)
    try:
        stations = ("one", "two", "three", "four")
        events = subscriber.read_until(lambda e: all(last_decision(e, s) >= 58 for s in stations))
    finally:
        code = end(process)
    assert code == 0
    events = subscriber.drain()
    for station in stations:
        starts = [event["start_s"] for event in of(events, "decision", station)]
        assert starts == [float(k) for k in range(len(starts))]
        assert of(events, "gap", station) == []
        assert of(events, "segment", station)
    file = subprocess.run(
        [*AIRSIFT, "segment", str(path)], env=environment, capture_output=True, check=True
    )
    closed = [json.loads(line) for line in file.stdout.splitlines()][:-1]
    heard = [event for event in of(events, "segment", "one") if event["final"]]
    assert [(e["start_s"], e["end_s"], e["label"]) for e in heard] == [
        (e["start_s"], e["end_s"], e["label"]) for e in closed[: len(heard)]
    ]

    tail = subprocess.run(
        [*AIRSIFT, "tail", "--from-start", "--until-end", "--json", "--topic", "decisions"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in tail.stdout.splitlines()]
    assert len(lines) == len(of(events, "decision"))
    known = {json.dumps(event, sort_keys=True) for event in events}
    assert all(json.dumps(line, sort_keys=True) in known for line in lines)


def test_kill_9_and_restart_leave_no_hole_and_no_other_id(broker, environment, tmp_path):
    path = recording(tmp_path / "long.wav", 240, seed=2)
    stations = ("a", "b", "c")
    publishing = [
        subprocess.Popen(
            [*AIRSIFT, "publish", str(path), "--station", station, "--speed", "12"],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        for station in stations
    ]
    subscriber = Subscriber(broker)
    kills = 0
    process = start_run(environment)
    try:
        for enough_s in (40, 90, 150):
            subscriber.read_until(lambda e, s=enough_s: last_decision(e, "a") >= s)
            process.kill()
            process.wait(10)
            process.stderr.close()
            kills += 1
            process = start_run(environment)
        events = subscriber.read_until(
            lambda e: all(last_decision(e, station) >= 238 for station in stations)
        )
        assert all(p.wait(60) == 0 for p in publishing)
    finally:
        end(process)
        for publisher in publishing:
            publisher.kill()
            publisher.wait(10)
    assert kills == 3
    events = subscriber.drain()

    calm = {**environment, "AIRSIFT_KAFKA__GROUP": "calm"}
    for kind in ("decisions", "segments", "matches", "gaps"):
        calm[f"AIRSIFT_KAFKA__TOPICS__{kind.upper()}"] = f"calm.{kind}"
    process = start_run(calm)
    other = Subscriber(broker, "calm")
    try:
        other.read_until(lambda e: all(last_decision(e, s) >= 238 for s in stations))
    finally:
        end(process)
    assert by_id(events) == by_id(other.drain())
    for station in stations:
        starts = sorted({event["start_s"] for event in of(events, "decision", station)})
        assert starts == [float(k) for k in range(len(starts))]
