"""A group that is moving: commits it refuses, and assignments that come between two polls."""

from __future__ import annotations

import itertools
import time
from contextlib import closing

import pytest
from kafka.errors import CommitFailedError, RebalanceInProgressError

from stream.audio import AudioChunk
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.source import KafkaSource
from stream.kafka.codec.message import encode
from stream.sources.base import audio_of
from tests.stream.doubles import snapshot

RATE = 16000


def publish(settings, first, count):
    sender = Producer(settings)
    for k in range(first, first + count):
        samples = [0.1 * (k % 5)] * RATE
        message = encode(AudioChunk("a", k * RATE, samples, RATE))
        sender.send(settings.topics.audio, message.key, message.value, message.headers)
    sender.flush()
    sender.close()


def read_until(source, until_s):
    deadline = time.monotonic() + 60
    starts = []
    for batch in source:
        starts += [chunk.start // RATE for chunk in audio_of(batch)]
        if starts and starts[-1] >= until_s - 1:
            return starts
        assert time.monotonic() < deadline, starts
    raise AssertionError


@pytest.mark.parametrize("error", [CommitFailedError, RebalanceInProgressError])
def test_a_refused_commit_is_made_good_by_the_next(kafka_settings, monkeypatch, error):
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    publish(kafka_settings, 0, 5)
    source = KafkaSource(kafka_settings, rate=RATE)
    try:
        assert read_until(source, 5) == [0, 1, 2, 3, 4]

        def refuse(*_, **__):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(source._consumer, "commit", refuse)
            source.checkpoint({"a": snapshot(4 * RATE)})
        assert source.counts["commit_failures"] == 1
        publish(kafka_settings, 5, 2)
        assert read_until(source, 7) == [5, 6]
        source.checkpoint({"a": snapshot(6 * RATE)})
        assert source.counts["commit_failures"] == 1
    finally:
        source.close()
    publish(kafka_settings, 7, 1)
    successor = KafkaSource(kafka_settings, rate=RATE)
    try:
        assert read_until(successor, 8) == [5, 6, 7]  # with the message before
    finally:
        successor.close()


@pytest.mark.parametrize("work_s", [0.2, 0.7, 1.1])
def test_an_assignment_that_comes_between_two_polls_is_taken(kafka_settings, work_s):
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    publish(kafka_settings, 0, 1)
    with closing(KafkaSource(kafka_settings, rate=RATE)) as source:
        for batch in itertools.islice(source, round(20 / work_s)):
            if audio_of(batch):
                break
            time.sleep(work_s)
        else:
            pytest.fail("no partition was given")


def test_members_that_work_between_polls_share_the_partitions(kafka_settings):
    ensure_topics(kafka_settings, [kafka_settings.topics.audio])
    sources = [KafkaSource(kafka_settings, rate=RATE) for _ in range(2)]
    try:
        for _ in zip(*sources, range(60), strict=False):
            shares = [set(source._reader.partitions) for source in sources]
            if all(shares) and len(set.union(*shares)) == 3:
                break
            time.sleep(0.3)
        else:
            pytest.fail(f"after 60 polls each: {shares}")
        assert not set.intersection(*shares)
    finally:
        for source in sources:
            source.close()
