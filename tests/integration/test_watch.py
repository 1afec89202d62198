"""Metrics of a worker on Kafka."""

from __future__ import annotations

import itertools
import logging

import numpy as np
import pytest
from prometheus_client import generate_latest

from airsift import config
from stream.audio import AudioChunk
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.codec.message import encode
from stream.runner import Stop, run_source
from stream.telemetry.observer import Observer
from stream.telemetry.telemetry import Telemetry
from tests.stream.doubles import PipelineDouble

RATE = 16000
MESSAGES = 60


class Stopping(PipelineDouble):
    """Counts what comes, until everything has; it knows of no station."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self.counts = {"chunks": 0}
        self.stop = stop

    def push(self, chunks, *, last=False):
        self.counts["chunks"] += len(chunks)
        if self.counts["chunks"] == MESSAGES:
            self.stop.request()
        return []


def test_lag_and_dead_letters(kafka_settings, caplog):
    settings = kafka_settings.model_copy(update={"poll_messages": 5})
    ensure_topics(settings, [settings.topics.audio])
    sender = Producer(settings)
    sender.send(settings.topics.audio, b"one", b"rubbish", [("content-type", b"audio/flac")])
    for n in range(MESSAGES):
        message = encode(AudioChunk("one", n * 100, np.zeros(100, np.float32), RATE))
        sender.send(settings.topics.audio, message.key, message.value, message.headers)
    sender.flush()
    sender.close()

    stop = Stop()
    # Time goes on by more than a sample's second with every look at it: no turn is passed over.
    watch = Telemetry(config.load(environ={}).config.watch, now=itertools.count(0, 2).__next__)
    source, sink, pipeline = KafkaSource(settings, rate=RATE), KafkaSink(settings), Stopping(stop)
    lags = []

    class Notes(Observer):
        def on_batch(self, batch, events):
            watch.on_batch(batch, events)
            if pipeline.counts["chunks"]:
                lags.append(watch.collector._lag)

        def on_backpressure(self):
            pytest.fail("nothing is written")

    watch.bind(source, pipeline, [sink])
    try:
        with caplog.at_level(logging.WARNING):
            run_source(source, pipeline, [sink], checkpoint_s=9, stop=stop, observer=Notes())
    finally:
        source.close()
        sink.close()
    assert MESSAGES / 2 < lags[0] < MESSAGES
    assert lags[-1] == 0
    assert lags == sorted(lags, reverse=True)
    text = generate_latest(watch.metrics.registry).decode()
    assert f"airsift_chunks_total {MESSAGES}.0" in text
    assert "airsift_dead_letters_total 1.0" in text
    [record] = [r for r in caplog.records if getattr(r, "station", None) == "one"]
    assert "dead letters" in record.getMessage()
    assert record.partition in range(3)
    assert record.kafka_offset == 0
