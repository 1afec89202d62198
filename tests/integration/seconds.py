"""A worker under exactly_once with a simple pipeline, and what a subscriber reads of it."""

from __future__ import annotations

import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
from kafka import TopicPartition

from stream.audio import AudioChunk
from stream.events import Decision
from stream.kafka.client.connect import connect_consumer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.transactions import Transactions
from stream.kafka.codec.message import encode
from stream.runner import Stop, run_source
from stream.telemetry.observer import NullObserver
from tests.integration.source_reader import read_all
from tests.stream.doubles import PipelineDouble

STATIONS, SECONDS, RATE = ("a", "b"), 60, 16000
ITERATIONS = 500  # in which something came
GUARD_S = 250.0


class Seconds(PipelineDouble):
    """A pipeline that reports the loudness of each second, and knows its position."""

    def push(self, chunks, *, last=False):
        events = []
        for chunk in chunks:
            if chunk.start >= self.sessions.get(chunk.station, 0):
                loudness = float(np.abs(chunk.samples).mean())
                place = (chunk.station, chunk.start, chunk.end, chunk.rate, None)
                events.append(Decision(*place, loudness, 1 - loudness))
                self.sessions[chunk.station] = chunk.end
        return events


def send_seconds(sender, topic, seconds):
    """Publish some seconds of each station, one message each; a second always sounds the same."""
    for second in seconds:
        for number, station in enumerate(STATIONS):
            loud = 0.3 if second // 10 % 2 else 0.01
            rng = np.random.default_rng((second, number))
            samples = (loud * rng.standard_normal(RATE)).astype(np.float32)
            message = encode(AudioChunk(station, second * RATE, samples, RATE))
            sender.send(topic, message.key, message.value, message.headers)
    sender.flush()


class DiedError(Exception):
    """The process is gone: nothing of it is finished."""


class IterationObserver(NullObserver):
    """Observes each iteration of the loop, and ends it when a subscriber has seen everything."""

    def __init__(self, settings, source, stop, on_iteration, max_iterations):
        self._settings = settings
        self._source = source
        self._stop = stop
        self._on_iteration = on_iteration
        self._max_iterations = max_iterations
        self._last = dict.fromkeys(STATIONS, 0)
        self.count = 0
        self._deadline = time.monotonic() + GUARD_S

    def on_batch(self, batch, events):
        self.count += bool(batch)  # while it waits for its partitions, the loop goes on
        assert self.count < self._max_iterations
        assert time.monotonic() < self._deadline
        for event in events:
            if event.kind == "decision":
                self._last[event.station] = event.end // event.rate
        self._on_iteration(
            SimpleNamespace(count=self.count, events=events, stop=self._stop, source=self._source)
        )
        everything = len(STATIONS) * SECONDS
        if min(self._last.values()) >= SECONDS and len(published(self._settings)) == everything:
            self._stop.request()


def work(settings, on_iteration=lambda _: None, checkpoint_s=0.03, max_iterations=ITERATIONS):
    """Run a worker until all is published, or it stops or dies; return its counts."""
    stop = Stop()
    transactions = Transactions(settings)
    source = KafkaSource(settings, rate=RATE, transactions=transactions)
    sink = KafkaSink(settings, transactions)
    observer = IterationObserver(settings, source, stop, on_iteration, max_iterations)
    try:
        run_source(
            source, Seconds(), [sink], checkpoint_s=checkpoint_s, stop=stop, observer=observer
        )
    except DiedError:
        source._consumer.close()  # the group would wait for the dead; its transaction stays open
        transactions._identity.close()
        return source.counts
    source.close()
    transactions.close()
    return source.counts


def dies_at(count):
    def on_iteration(observer):
        if observer.count == count:
            raise DiedError

    return on_iteration


def published(settings):
    """Return how often a subscriber that wants only what counts reads each event."""
    return Counter(record.value for record in read_all(settings, settings.topics.decisions))


class Subscriber:
    """Reads the decisions that count, as they come."""

    def __init__(self, settings):
        self._consumer = connect_consumer(settings, isolation_level="read_committed")
        topics = settings.topics
        self._consumer.assign(
            [TopicPartition(topics.decisions, p) for p in range(topics.partitions)]
        )
        self._consumer.seek_to_beginning()
        self.seen = Counter()

    def read(self):
        for records in self._consumer.poll(timeout_ms=200).values():
            self.seen.update(record.value for record in records)
        return len(self.seen)

    def close(self):
        self._consumer.close()


def with_own_group(settings, name):
    """Return settings with a group and event topics of their own, and the same audio."""
    name = f"{settings.group}-{name}"
    kinds = ("decisions", "segments", "matches", "gaps", "state")
    topics = settings.topics.model_copy(update={kind: f"{name}.{kind}" for kind in kinds})
    return settings.model_copy(update={"group": name, "transactional_id": name, "topics": topics})
