"""Events, dead letters and a broker that goes away under them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest

from airsift.errors import Backpressure, BrokerError
from stream.audio import AudioChunk
from stream.events import Decision, Gap, Match, Segment
from stream.kafka.client.connect import connect_producer, ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.codec.message import encode
from stream.kafka.settings import KafkaSettings
from stream.testing import noise
from tests.integration.brokers import Broker
from tests.integration.source_reader import RATE, SourceReader, read_all, send
from tests.stream.doubles import snapshot


def test_messages_that_are_no_audio_become_dead_letters(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    topic = kafka_settings.topics.audio
    ensure_topics(kafka_settings, [topic], configs={"max.message.bytes": "60000000"})
    send(kafka_settings, "a", noise(1))
    producer = connect_producer(kafka_settings.model_copy(update={"max_request_bytes": 60_000_000}))
    flac = [("content-type", b"audio/flac")]
    producer.send(topic, b"no headers", b"a")
    producer.send(topic, os.urandom(3000), b"a", flac).get(10)
    producer.send(topic, bytes(50_000_000), b"a", flac).get(30)
    producer.send(topic, b"no key", None, flac)
    producer.close()
    later = encode(AudioChunk("a", 2 * RATE, noise(1), RATE))
    sender = Producer(kafka_settings)
    sender.send(topic, later.key, later.value, later.headers)
    sender.flush()
    sender.close()

    reader = open_reader(kafka_settings)
    reader.read_until(
        lambda: reader.ends() == {"a": 3 * RATE} and reader.source.counts["dead_letters"] == 4
    )
    assert reader.chunks["a"][-1].gap_reason == "a message could not be decoded"
    reader.source.checkpoint({})
    records = read_all(kafka_settings, kafka_settings.topics.dead_letters)
    letters = {
        dict(letter.headers)["airsift-reason"].decode().partition(":")[0]: letter
        for letter in records
    }
    assert sorted(letters) == [
        "3000 bytes do not decode as flac",
        "50000000 bytes are more than kafka.wire.max_bytes=8388608; send shorter chunks",
        "header content-type is missing",
        "the message has no key",
    ]
    letter = letters["header content-type is missing"]
    headers = {name: value.decode() for name, value in letter.headers}
    assert (letter.key, letter.value, headers["airsift-topic"]) == (b"a", b"no headers", topic)
    assert int(headers["airsift-kafka-offset"]) >= 0
    original = dict(letters["3000 bytes do not decode as flac"].headers)
    assert original["content-type"] == b"audio/flac"
    cut = letters["50000000 bytes are more than kafka.wire.max_bytes=8388608; send shorter chunks"]
    # Zeros take no room: all that the client library can send is copied.
    assert 15_000_000 < len(cut.value) <= kafka_settings.max_request_bytes
    reported_cut = dict(cut.headers)["airsift-truncated"].decode()
    assert reported_cut == f"value {len(cut.value)} of 50000000"


EVENTS = [
    Decision("a", 0, 80000, RATE, 1.5, 0.9, 0.1),
    Segment("b", 0, 80000, RATE, None, "music", 0.8, False),
    Match("a", 0, 80000, RATE, None, "t", "Title", "Ärtist", 0, 17.0, True),
    Gap("b", 80000, 96000, RATE, None, "missing"),
]


def test_events_go_to_their_topics(kafka_settings: KafkaSettings) -> None:
    sink = KafkaSink(kafka_settings)
    sink.write(EVENTS)
    sink.flush()
    sink.close()
    sink.close()
    topics = kafka_settings.topics.events
    for event in EVENTS:
        [record] = read_all(kafka_settings, topics[event.kind])
        assert record.key.decode() == event.station
        assert json.loads(record.value) == event.to_dict()
        assert dict(record.headers)["schema"].decode() == event.to_dict()["schema"]


def test_a_sink_on_a_dead_broker_pushes_back_and_then_fails(
    kafka_settings: KafkaSettings, new_broker: Callable[[], Broker]
) -> None:
    broker = new_broker()
    settings = kafka_settings.model_copy(
        update={
            "bootstrap_servers": broker.bootstrap_servers,
            "max_pending_events": 3,
            "delivery_timeout_s": 1.0,
            "request_timeout_s": 1.0,
        }
    )
    sink = KafkaSink(settings)
    sink.write(EVENTS)  # more than may wait, but nothing waits yet
    sink.flush()
    broker.stop()
    sink.write(EVENTS[:2])
    with pytest.raises(Backpressure, match="max_pending_events=3") as caught:
        sink.write(EVENTS[:2])
    assert caught.value.retry_after_s > 0
    with pytest.raises(BrokerError):
        sink.flush()
    sink._producer.close()


def test_a_source_outlives_its_broker_and_can_be_closed(
    kafka_settings: KafkaSettings,
    open_reader: Callable[[KafkaSettings], SourceReader],
    new_broker: Callable[[], Broker],
) -> None:
    broker = new_broker()
    settings = kafka_settings.model_copy(
        update={
            "bootstrap_servers": broker.bootstrap_servers,
            "delivery_timeout_s": 1.0,
            "request_timeout_s": 3.0,
        }
    )
    send(settings, "a", noise(2))
    reader = open_reader(settings)
    reader.read_until(lambda: reader.ends() == {"a": 2 * RATE})
    reader.source.checkpoint({"a": snapshot(0)})
    reader.source._committed.clear()
    broker.stop()
    reader.step()
    reader.source.checkpoint({})
    assert reader.source.counts["commit_failures"] == 1
    with pytest.raises(BrokerError):
        reader.source.checkpoint({"a": snapshot(RATE)})
    before = time.monotonic()
    reader.close()
    assert time.monotonic() - before < 10
