"""Messages with wrong counts and times, between right ones, on both drivers."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.kafka.client.connect import connect_producer, ensure_topics
from stream.kafka.client.tail import follow
from stream.kafka.codec.dead_letter import read_dead_letter
from stream.kafka.codec.message import encode
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from tests.integration.brokers import TOPICS
from tests.integration.road import DRIVERS, RATE, Subscriber, make_environment, of, start

DAY = 86_400 * RATE


def messages(begin: int) -> list[tuple[AudioChunk, int | None]]:
    """Return 30 s of a station, counted from 1970, with outliers; and record timestamps."""
    rng, found = np.random.default_rng(0), []
    for i in range(60):
        start = begin + i * RATE // 2
        samples = (0.2 * rng.standard_normal(RATE // 2)).astype(np.float32)
        wrong = {20: 262 * DAY, 30: -DAY, 40: 150 * 365 * DAY, 50: -3650 * DAY}.get(i, 0)
        if wrong:
            found.append((AudioChunk("a", start + wrong, samples, RATE), None))
        found.append((AudioChunk("a", start, samples, RATE), 10**6 if i == 25 else None))
    return found


@pytest.mark.parametrize("driver", DRIVERS)
def test_wrong_counts_and_times_end_no_worker_and_move_no_station(apache_kafka, driver):
    environment = make_environment(apache_kafka, 1)
    prefix = f"{driver}{time.monotonic_ns()}"
    for name in TOPICS:
        environment[f"AIRSIFT_KAFKA__TOPICS__{name.upper()}"] = f"{prefix}.{name}"
    environment["AIRSIFT_KAFKA__GROUP"] = prefix
    settings = KafkaSettings.default(bootstrap_servers=apache_kafka.bootstrap_servers)
    topics = settings.topics.model_copy(
        update={**{name: f"{prefix}.{name}" for name in TOPICS}, "partitions": 1}
    )
    settings = settings.model_copy(update={"topics": topics})
    # As older brokers do, which take messages of any time.
    any_time = {"message.timestamp.after.max.ms": str(2**63 - 1)}
    ensure_topics(settings, {topics.audio: ["Write"]}, configs=any_time)
    subscriber = Subscriber(apache_kafka, prefix)
    begin = (int(time.time()) - 60) * RATE
    producer = connect_producer(settings)
    for chunk, factor in messages(begin):
        message = encode(chunk)
        now_ms = round(time.time() * 1000) * (factor or 1)
        producer.send(topics.audio, message.value, message.key, message.headers, 0, now_ms)
    # A station without a count of its own, whose records are dated in microseconds.
    micro = [("content-type", b"audio/x-s16le"), ("rate", b"16000")]
    producer.send(topics.audio, bytes(16_000), b"micro", micro, 0, round(time.time() * 1e6))
    producer.flush()
    producer.close()
    process = start(driver, environment)
    try:
        events = subscriber.read_until(lambda all_of: len(of(all_of, "decision", "a")) >= 25)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert of(events, "gap") == []
    for event in events:
        at = datetime.fromisoformat(event["time"]).timestamp()
        assert at == pytest.approx(event["start_sample"] / RATE, abs=0.01)
        assert 0 <= event["start_sample"] - begin <= 30 * RATE
    letters = [
        read_dead_letter(record)
        for record in follow(
            settings, [topics.dead_letters], stop=Stop(), from_start=True, until_end=True
        )
    ]
    reasons = sorted((letter.station, letter.reason) for letter in letters)
    assert [station for station, _ in reasons] == ["a"] * 4 + ["micro"], json.dumps(reasons)
    assert all("a second producer under this name" in reason for _, reason in reasons[:4])
    assert "is no time from 1970 to 2199 in milliseconds" in reasons[4][1]
