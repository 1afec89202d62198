"""The examples of docs/, run as a stranger would, against an airsift that reads and writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.events import Match, Segment
from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.settings import KafkaSettings, TopicSettings
from stream.sources.base import audio_of
from stream.stages.align import Align
from stream.testing import write_wav
from tests.integration.brokers import Broker

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
RATE = 22050
TOPICS = TopicSettings.default()
ALL_TOPICS = [TOPICS.audio, TOPICS.dead_letters, *TOPICS.events.values()]


@pytest.fixture
def broker(new_broker: Callable[[], Broker]) -> Broker:
    running = new_broker()
    ensure_topics(settings_of(running), ALL_TOPICS)
    return running


def settings_of(broker: Broker) -> KafkaSettings:
    return KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers, session_timeout_s=2)


def start(broker: Broker, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "KAFKA": broker.bootstrap_servers, "PACE": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def recording(tmp_path: Path) -> tuple[Path, np.ndarray]:
    samples = np.random.default_rng(0).integers(-9000, 9000, (2 * RATE, 2)).astype("<i2")
    path = tmp_path / "my station.wav"
    write_wav(path, samples / 32_767, RATE)
    return path, (samples.mean(1) / 32768).astype(np.float32)


def receive(settings: KafkaSettings, seconds: float) -> tuple[dict[str, np.ndarray], KafkaSource]:
    """Return the new audio of each station, until there is as much of each as that."""
    source, align = KafkaSource(settings, rate=16_000), Align(16_000, 2.0)
    received: dict[str, list[np.ndarray]] = {}
    deadline = time.monotonic() + 60
    for batch in source:
        assert time.monotonic() < deadline
        for item in align.push(audio_of(batch)):
            if isinstance(item, AudioChunk):
                assert item.time is not None
                assert abs(item.time - time.time()) < 60
                received.setdefault(item.station, []).append(item.samples)
        lengths = [sum(map(len, parts)) for parts in received.values()]
        if lengths and min(lengths) >= round(seconds * RATE):
            break
    source.close()
    return {station: np.concatenate(parts) for station, parts in received.items()}, source


def test_the_producers_station_is_received_also_the_second_time(
    broker: Broker, recording: tuple[Path, np.ndarray]
) -> None:
    path, samples = recording
    for _ in range(2):
        producer = start(broker, "producer.py", str(path), "mine")
        _, errors = producer.communicate(timeout=60)
        assert (producer.returncode, errors) == (0, "")
    received, source = receive(settings_of(broker), 4.0)
    assert received.keys() == {"mine"}
    assert np.allclose(received["mine"].mean(1), np.concatenate([samples, samples]), atol=1e-6)
    assert source.counts["dead_letters"] == 0


def test_parallel_producers_are_received(
    broker: Broker, recording: tuple[Path, np.ndarray]
) -> None:
    path, samples = recording
    stations = ["one", "two", "one"]  # the third stands in for the first
    producers = [start(broker, "producer.py", str(path), station) for station in stations]
    for producer in producers:
        _, errors = producer.communicate(timeout=60)
        assert (producer.returncode, errors) == (0, "")
    received, source = receive(settings_of(broker), 2.0)
    assert received.keys() == {"one", "two"}
    assert np.allclose(received["two"].mean(1), samples, atol=1e-6)
    assert source.counts["dead_letters"] == 0


def test_a_producer_reports_that_its_clock_is_wrong(
    need_kafka: None, recording: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = recording
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() + 7200\n"
    )
    with ApacheKafka() as broker:
        ensure_topics(settings_of(broker), ["airsift.audio"])
        run = subprocess.run(
            [sys.executable, str(EXAMPLES / "producer.py"), str(path), "mine"],
            env={
                **os.environ,
                "KAFKA": broker.bootstrap_servers,
                "PACE": "100",
                "PYTHONPATH": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr == (
        "the broker refuses the message's time: set this machine's clock, it is wrong\n"
    )


@pytest.mark.parametrize("name", ["subscriber.py", "subscriber_aiokafka.py"])
def test_the_subscribers_see_each_event_once(broker: Broker, name: str) -> None:
    sink = KafkaSink(KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers))
    segments = [
        Segment("one", 0, 16000 * end, 16000, None, "music", 0.9, end == 20)
        for end in (10, 15, 15, 20, 20)  # repeats are what "at least once" means
    ]
    match = Match("one", 0, 160000, 16000, None, "t", "Title", "Artist", 0, 9.0, True)
    sink.write([*segments, match])
    sink.flush()
    subscribers = [start(broker, name), start(broker, name)]  # and one does not take from another
    try:
        seen = []
        for subscriber in subscribers:
            assert subscriber.stdout is not None
            seen.append({subscriber.stdout.readline().strip() for _ in range(4)})
    finally:
        for subscriber in subscribers:
            subscriber.kill()
            subscriber.communicate()
        sink.close()
    assert seen[0] == seen[1]
    assert seen[0] == {
        "one 0.0 10.0 music",
        "one 0.0 15.0 music",
        "one 0.0 20.0 music",
        "one 0.0 10.0 Artist - Title",
    }
