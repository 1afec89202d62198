"""However a publisher ends, the topic has the beginning of its audio, and the next one goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.kafka.apache_broker import ApacheKafka, why_not
from stream.kafka.client.connect import connect_consumer, connect_producer, ensure_topics
from stream.kafka.client.publish import end_of_station, publish
from stream.kafka.client.tail import follow
from stream.kafka.codec.message import ChunkDecoder, encode
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from stream.testing import ListSource, noise
from tests.integration.source_reader import RATE, send

needs_apache = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.fixture(scope="module")
def apache() -> Iterator[KafkaSettings]:
    with ApacheKafka() as broker:
        yield KafkaSettings.default(bootstrap_servers=broker.bootstrap_servers)


def on_topic(settings: KafkaSettings, station: str) -> list[AudioChunk]:
    decoder = ChunkDecoder(settings.wire)
    records = follow(
        settings, [settings.topics.audio], stop=Stop(), from_start=True, until_end=True
    )
    return [
        decoder.decode(r.key, r.value, r.headers, r.timestamp).chunk
        for r in records
        if r.key == station.encode()
    ]


def is_beginning_of(chunks: list[AudioChunk], samples: np.ndarray) -> bool:
    ends = [0, *(chunk.end for chunk in chunks)]
    assert [chunk.start for chunk in chunks] == ends[:-1]
    return all(np.array_equal(c.samples, samples[c.start : c.end]) for c in chunks)


@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_a_publisher_that_is_stopped_leaves_a_beginning(
    kafka_settings: KafkaSettings, after: int
) -> None:
    samples, stop = noise(6), Stop()
    # Each chunk of the source is several messages: 2 s, and messages of 0.5 s.
    parts = [AudioChunk("a", i, samples[i : i + 2 * RATE], RATE) for i in range(0, 6 * RATE, 32000)]

    def count(done: Any) -> None:
        if done.messages == after:
            stop.request()

    done = publish(
        ListSource([[part] for part in parts]),
        kafka_settings,
        stop=stop,
        speed=None,
        progress=count,
    )
    chunks = on_topic(kafka_settings, "a")
    assert len(chunks) == done.messages == after
    assert is_beginning_of(chunks, samples)
    send(kafka_settings, "a", samples)  # and the next one goes on behind it
    assert [c.start for c in on_topic(kafka_settings, "a")] == list(
        range(0, (12 + after) * 8000, 8000)
    )


def test_a_source_that_waits_for_audio_does_not_hold_up_a_stop(
    kafka_settings: KafkaSettings,
) -> None:
    stop = Stop()

    class Silent(ListSource):
        def __iter__(self) -> Iterator[list[AudioChunk]]:
            for turn in range(200):
                if turn == 3:
                    stop.request()
                yield []
            raise AssertionError("it went on after the stop request")

    assert publish(Silent([]), kafka_settings, stop=stop, live=True).messages == 0


@needs_apache
def test_a_publisher_that_is_refused_leaves_a_beginning(apache: KafkaSettings) -> None:
    topics = apache.topics.model_copy(update={"audio": "small"})
    settings = apache.model_copy(update={"topics": topics})
    ensure_topics(settings, ["small"], configs={"max.message.bytes": "10000"})
    quiet, loud = np.zeros(2 * RATE, np.float32), noise(0.5)
    samples = np.concatenate([quiet, loud, quiet])
    with pytest.raises(BrokerError, match=r"max.message.bytes"):
        send(settings, "a", samples, codec="flac")
    chunks = on_topic(settings, "a")
    assert len(chunks) == 4
    assert is_beginning_of(chunks, samples)


@needs_apache
def test_a_clock_that_runs_ahead_is_named(
    apache: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = KafkaProducer.send

    def ahead(self: Any, *message: Any) -> Any:
        return real(self, *message[:5], round((time.time() + 7200) * 1000))

    monkeypatch.setattr(KafkaProducer, "send", ahead)
    with pytest.raises(BrokerError, match="set the clock that is wrong") as error:
        send(apache, "ahead", noise(1))
    assert len(str(error.value).splitlines()) == 1
    monkeypatch.undo()
    assert on_topic(apache, "ahead") == []


@pytest.mark.parametrize("stations", [2, 12])
def test_the_end_is_found_behind_thousands_of_messages_of_others(
    kafka_settings: KafkaSettings, stations: int
) -> None:
    topics = kafka_settings.topics.model_copy(update={"partitions": 1})
    settings = kafka_settings.model_copy(update={"topics": topics})
    send(settings, "mine", noise(2.25))
    producer = connect_producer(settings)
    for i in range(4500):
        other = AudioChunk(f"s{i % stations}", i * 10, np.zeros(10, np.float32), RATE)
        message = encode(other)
        producer.send(settings.topics.audio, message.value, message.key, message.headers)
    producer.flush()
    producer.close()
    assert end_of_station(settings, "mine") == (36_000, RATE)
    assert end_of_station(settings, "s1") == ((4500 - stations + 1) * 10 + 10, RATE)
    assert end_of_station(settings, "nobody") is None
    send(settings, "mine", noise(1))
    assert end_of_station(settings, "mine") == (52_000, RATE)


def test_the_end_is_found_in_another_partition_than_the_keys(kafka_settings: KafkaSettings) -> None:
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    consumer = connect_consumer(kafka_settings)
    partitions = consumer.partitions_for_topic(kafka_settings.topics.audio)
    consumer.close()
    for partition in partitions:
        producer = connect_producer(kafka_settings)
        station = f"p{partition}"
        for i in range(4):
            message = encode(AudioChunk(station, 800 * i, np.zeros(800, np.float32), RATE))
            producer.send(
                kafka_settings.topics.audio, message.value, message.key, message.headers, partition
            )
        producer.flush()
        producer.close()
        assert end_of_station(kafka_settings, station) == (3200, RATE)


def test_one_wrong_count_at_the_end_is_not_gone_on_from(kafka_settings: KafkaSettings) -> None:
    send(kafka_settings, "a", noise(2))
    producer = connect_producer(kafka_settings)
    far = encode(AudioChunk("a", 10**9 * RATE, np.zeros(800, np.float32), RATE))
    producer.send(kafka_settings.topics.audio, far.value, far.key, far.headers)
    producer.flush()
    producer.close()
    assert end_of_station(kafka_settings, "a") == (2 * RATE, RATE)


def test_an_end_that_is_not_found_in_time_is_now(
    kafka_settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    send(kafka_settings, "a", noise(1))
    hurried = kafka_settings.model_copy(update={"request_timeout_s": 1e-6})
    found = end_of_station(hurried, "b")
    assert found is not None
    assert found[1] == 1
    assert abs(found[0] - time.time()) < 60
    [line] = [r.getMessage() for r in caplog.records if r.name == "stream.kafka.client.publish"]
    assert "was not found on" in line
    assert "counted from 1970" in line


def test_two_publishers_at_once_leave_one_station_whole(kafka_settings: KafkaSettings) -> None:
    samples = noise(3)
    threads = [
        threading.Thread(target=send, args=(kafka_settings, name, samples)) for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for name in ("a", "b"):
        assert is_beginning_of(on_topic(kafka_settings, name), samples)
        assert end_of_station(kafka_settings, name) == (3 * RATE, RATE)
