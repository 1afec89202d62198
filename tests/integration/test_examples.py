"""The examples of docs/, run as a stranger would, against an airsift that reads and writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stream.events import Match, Segment
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.settings import KafkaSettings
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
RATE = 22050


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


def start(broker: EmbeddedBroker, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "KAFKA": broker.bootstrap_servers, "PACE": "100"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_producers_station_is_heard(broker: EmbeddedBroker, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, (2 * RATE, 2)).astype("<i2")
    path = tmp_path / "my station.wav"
    with wave.open(str(path), "wb") as audio:
        audio.setnchannels(2)
        audio.setsampwidth(2)
        audio.setframerate(RATE)
        audio.writeframes(samples.tobytes())
    source = KafkaSource(
        KafkaSettings(bootstrap_servers=broker.bootstrap_servers, session_timeout_s=2)
    )
    producer = start(broker, "producer.py", str(path), "mine")
    assert producer.wait(30) == 0
    producer.communicate()
    heard: list[np.ndarray] = []
    deadline = time.monotonic() + 120
    for batch in source:
        assert time.monotonic() < deadline
        assert {chunk.station for chunk in batch.chunks} <= {"mine"}
        heard += [chunk.samples for chunk in batch.chunks]
        if sum(map(len, heard)) == len(samples):
            break
    source.close()
    assert np.allclose(np.concatenate(heard), samples.mean(1) / 32768, atol=1e-6)
    assert source.counts["dead_letters"] == 0


@pytest.mark.parametrize("name", ["subscriber.py", "subscriber_aiokafka.py"])
def test_the_subscribers_see_each_event_once(broker: EmbeddedBroker, name: str) -> None:
    sink = KafkaSink(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    segments = [
        Segment("one", 0, 16000 * end, 16000, None, "music", 0.9, end == 20)
        for end in (10, 15, 15, 20, 20)  # repeats are what "at least once" means
    ]
    match = Match("one", 0, 160000, 16000, None, "t", "Title", "Artist", 0, 9.0, True)
    sink.write([*segments, match])
    sink.flush()
    subscriber = start(broker, name)
    assert subscriber.stdout is not None
    try:
        lines = {subscriber.stdout.readline().strip() for _ in range(4)}
    finally:
        subscriber.kill()
        subscriber.communicate()
        sink.close()
    assert lines == {
        "one 0.0 10.0 music",
        "one 0.0 15.0 music",
        "one 0.0 20.0 music",
        "one 0.0 10.0 Artist - Title",
    }
