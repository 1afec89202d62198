"""Published audio is received, with every codec."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from stream.audio import AudioChunk
from stream.kafka.client.publish import end_of_station, publish
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from stream.testing import ListSource, noise
from tests.integration.source_reader import RATE, SourceReader, send


@pytest.mark.parametrize("codec", ["pcm", "f32", "flac"])
def test_published_audio_is_received(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader], codec: str
) -> None:
    sent = {name: noise(3.3, seed=seed) for seed, name in enumerate(["one", "zwei", "три 3"])}
    for station, samples in sent.items():
        send(kafka_settings, station, samples, codec=codec, chunk_ms=200)
    reader = open_reader(kafka_settings)
    reader.read_until(
        lambda: len(reader.ends()) == 3 and min(reader.ends().values()) == len(sent["one"])
    )
    for station, samples in sent.items():
        assert np.array_equal(reader.samples(station), samples)
        assert [chunk.start for chunk in reader.chunks[station]] == list(range(0, 52800, 3200))


def test_a_publisher_that_comes_back_goes_on(kafka_settings: KafkaSettings) -> None:
    send(kafka_settings, "a", noise(1.3))
    assert end_of_station(kafka_settings, "a") == (20800, RATE)
    assert end_of_station(kafka_settings, "b") is None
    send(kafka_settings, "a", noise(1))
    assert end_of_station(kafka_settings, "a") == (36800, RATE)


def test_a_live_publisher_counts_from_1970(kafka_settings: KafkaSettings) -> None:
    before = time.time()
    send(kafka_settings, "a", noise(1), live=True)
    last = end_of_station(kafka_settings, "a")
    assert last is not None
    assert before + 1 <= last[0] / RATE <= time.time() + 1.1


def test_opus_at_44100_is_resampled(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    source = ListSource([[AudioChunk("a", 0, np.zeros(44100, np.float32), 44100)]])
    publish(source, kafka_settings, stop=Stop(), speed=None, codec="opus", ends=False)
    reader = open_reader(kafka_settings)
    reader.read_until(lambda: reader.ends() == {"a": 48000})
    assert {chunk.rate for chunk in reader.chunks["a"]} == {48000}


def test_the_end_of_a_source_is_published_and_its_interruption_is_not(
    kafka_settings: KafkaSettings, open_reader: Callable[[KafkaSettings], SourceReader]
) -> None:
    stop = Stop()
    source = ListSource([[AudioChunk("cut", k * RATE, noise(1), RATE)] for k in range(3)])
    settings = {"stop": stop, "speed": None, "codec": "pcm"}
    publish(source, kafka_settings, progress=lambda _: stop.request(), **settings)
    send(kafka_settings, "open", noise(2))
    send(kafka_settings, "whole", noise(2), ends=True)
    reader = open_reader(kafka_settings)
    reader.read_until(
        lambda: len(reader.chunks) == 3 and reader.chunks["whole"][-1].ends is not None
    )
    assert [[c.ends for c in chunks if c.ends] for chunks in reader.chunks.values()].count([]) == 2
    last = reader.chunks["whole"][-1]
    assert (last.start, len(last.samples), last.rate, last.ends) == (2 * RATE, 0, RATE, "sent")
    assert end_of_station(kafka_settings, "whole") == (2 * RATE, RATE)
