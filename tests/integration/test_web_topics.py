"""The page from the output topics: damaged messages among them, and a broker that is away."""

from __future__ import annotations

import time

from airsift.web.feed import Feed, follow_topics, following
from airsift.web.hub import Hub
from stream.events import Decision, Segment
from stream.kafka.client.connect import connect_producer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.settings import KafkaSettings
from tests.airsift.web.serve import until

RATE = 16_000
NAME = "Radio/<b>😀"


def test_events_of_the_topics_are_shown_and_what_is_none_is_passed_over(
    kafka_settings: KafkaSettings,
) -> None:
    feed, hub = Feed(), Hub()
    sink = KafkaSink(kafka_settings)
    producer = connect_producer(kafka_settings)
    for value in (b"", b"[1]", b"{", b"null", b"{" * 100_000, b'{"schema": 1}', b"\xff"):
        producer.send(kafka_settings.topics.segments, value, b"a")
    producer.flush()

    def told() -> bool:
        hub.put(feed.drain(), 0.0)
        return NAME in hub.stations and "p_music" in hub.stations[NAME].now

    def send_and_look() -> bool:
        # Again and again: from when on the topics are followed is not known here.
        sink.write([Segment(NAME, 0, 9 * RATE, RATE, 1.7e9, "music", 0.9, False)])
        sink.write([Decision(NAME, 0, 5 * RATE, RATE, 1.7e9, 0.1, 0.9)])
        sink.flush()
        time.sleep(0.1)
        producer.send(kafka_settings.topics.segments, b'{"schema": NaN', b"a")
        return told()

    with following(feed, follow_topics(kafka_settings), "topics"):
        until(send_and_look, 60)
    assert hub.stations[NAME].now["label"] == "music"
    assert list(hub.stations) == [NAME]
    assert feed.problem == ""
    producer.close()
    sink.close()


def test_a_broker_that_is_away_is_a_problem_and_no_end(kafka_settings: KafkaSettings) -> None:
    feed = Feed()
    away = kafka_settings.model_copy(
        update={"bootstrap_servers": "127.0.0.1:1", "connect_timeout_s": 0.5}
    )
    with following(feed, follow_topics(away), "topics"):
        until(lambda: "127.0.0.1:1" in feed.problem, 60)
