"""What the loop makes is freed by itself: none of it is in a cycle that Python must search for."""

from __future__ import annotations

import gc
import itertools
import logging

import numpy as np
import pytest

from stream.audio import AudioChunk, end_of
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.codec.event_message import as_message
from stream.kafka.codec.message import CODECS, encode
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from tests.stream.restarts import RATE, chunks, make

STATIONS = ("a", "b", "c")


def check_no_garbage(block):
    """Fail if something is left, by each of three calls, that only a search can free.

    What a thread of another test leaves meanwhile, it leaves once.
    """
    left = []
    for _ in range(3):
        gc.collect()
        gc.disable()
        try:
            block()
            left.append(gc.collect())
        finally:
            gc.enable()
    assert 0 in left, left


def test_a_pipeline_its_events_and_its_snapshots_leave_no_garbage():
    pipeline = make(names=True, voice=True)
    log = chunks(RATE, 52, 1.0)

    def listen():
        for chunk in log[:40] + log[43:]:  # with a gap
            for event in pipeline.push([chunk]):
                as_message(event)
            kept = pipeline.snapshot("a")
            assert kept.data
        pipeline.push([end_of("a", RATE)])
        assert pipeline.restore("a", kept)
        pipeline.forget("a")

    listen()  # libraries import their parts at first use
    check_no_garbage(listen)


@pytest.mark.parametrize("codec", [*CODECS, "damaged", "nothing"])
def test_messages_and_their_records_leave_no_garbage(codec, caplog):
    """Also where they are refused: an error holds its frames, and these hold the message."""
    caplog.set_level(logging.CRITICAL)
    refused = []
    settings = KafkaSettings.default()
    reader = PartitionReader(settings, RATE, lambda message, reason: refused.append(reason))
    reader.begin(0, 0, [])
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, RATE).astype(np.float32)

    def read(second):
        for station in STATIONS:
            sound = AudioChunk(station, second * RATE, samples, RATE, 1.7e9 + second)
            message = encode(sound, "pcm" if codec in ("damaged", "nothing") else codec)
            value = message.value
            if codec == "damaged":
                value = value[:1001]
            elif codec == "nothing":
                value = b""
            at = second * len(STATIONS) + STATIONS.index(station)
            reader.read(Received("audio", 0, at, -1, message.key, value, message.headers))

    seconds = itertools.count()

    def read_three():
        for second in itertools.islice(seconds, 3):
            read(second)

    read_three()
    check_no_garbage(read_three)
    assert len(refused) == (12 * len(STATIONS) if codec in ("damaged", "nothing") else 0)
