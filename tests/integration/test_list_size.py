"""What one poll returns is passed on in lists of bounded size, and nothing is lost between them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream.kafka.client import source
from stream.kafka.settings import KafkaSettings
from stream.sources.base import audio_of
from stream.testing import noise
from tests.integration.source_reader import CHUNK, RATE, SourceReader, send
from tests.stream.doubles import snapshot as snapshot_at

CHUNK_BYTES = CHUNK * np.dtype(np.float32).itemsize


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_list_ends_with_the_message_that_reaches_the_limit(
    chunks: int,
    kafka_settings: KafkaSettings,
    open_reader: Callable[[KafkaSettings], SourceReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "_MAX_DECODED", chunks * CHUNK_BYTES)
    for station in "ab":
        send(kafka_settings, station, noise(5))
    reader = open_reader(kafka_settings)
    received = np.zeros(2, int)
    sizes = []
    for items in reader.batches:
        audio = list(audio_of(items))
        sizes.append(sum(chunk.samples.nbytes for chunk in audio))
        for chunk in audio:
            received["ab".index(chunk.station)] += len(chunk.samples)
        if min(received) == 5 * RATE:
            break
    assert max(sizes) == chunks * CHUNK_BYTES
    assert list(received) == [5 * RATE, 5 * RATE]


def test_a_checkpoint_between_two_lists_of_a_poll_commits_the_first_only(
    kafka_settings: KafkaSettings,
    open_reader: Callable[[KafkaSettings], SourceReader],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = noise(5)
    send(kafka_settings, "a", samples)
    monkeypatch.setattr(source, "_MAX_DECODED", 4 * CHUNK_BYTES)
    first = open_reader(kafka_settings)
    first.read_until(lambda: first.ends() == {"a": 4 * CHUNK})
    first.source.checkpoint({"a": snapshot_at(4 * CHUNK)})
    first.close()  # the other six chunks were fetched with these

    second = open_reader(kafka_settings)
    second.read_until(lambda: second.ends() == {"a": 5 * RATE})
    start = second.chunks["a"][0].start
    assert start <= 4 * CHUNK
    assert np.array_equal(second.samples("a"), samples[start:])
