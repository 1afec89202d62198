"""Messages out of order over a real broker: every sample once, also over a restart."""

from __future__ import annotations

import numpy as np

from stream.audio import AudioChunk, end_of
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.codec.message import encode
from stream.stages.align import Align, AlignState
from stream.testing import noise
from tests.integration.source_reader import CHUNK, RATE
from tests.stream.doubles import snapshot as snapshot_at


def send_in(settings, samples, order):
    ensure_topics(settings, [settings.topics.audio])
    sender = Producer(settings)
    for i in order:
        part = samples[i * CHUNK : (i + 1) * CHUNK]
        message = encode(AudioChunk("a", i * CHUNK, part, RATE))
        sender.send(settings.topics.audio, *message)
    sender.flush()
    sender.close()


def test_swapped_messages_are_ordered_over_a_restart(kafka_settings, open_reader):
    samples = noise(6)
    order = [0, 1, 3, 2, 4, 6, 5, 7, 9, 8, 10, 11]
    send_in(kafka_settings, samples, order[:6])
    first, align = open_reader(kafka_settings), Align(RATE, 2.0)
    first.read_until(lambda: len(first.chunks.get("a", [])) == 6)
    before = align.push(first.chunks["a"])
    assert align.snapshot(align.sessions["a"]) == 5 * CHUNK  # 6 waits for 5
    first.source.checkpoint({"a": snapshot_at(3 * CHUNK + 1)})
    first.close()

    send_in(kafka_settings, samples, order[6:])
    second, again = open_reader(kafka_settings), Align(RATE, 2.0)
    second.read_until(lambda: second.ends().get("a") == 6 * RATE)
    again.sessions["a"].align = AlignState(second.resumed["a"].oldest, RATE)
    after = again.push(second.chunks["a"])
    assert (align.counts["gaps"], again.counts["gaps"]) == (0, 0)
    received = np.concatenate([chunk.samples for chunk in before])
    assert np.array_equal(received, samples[: 5 * CHUNK])
    received = np.concatenate([chunk.samples for chunk in after])
    assert np.array_equal(received, samples[3 * CHUNK + 1 :])


def test_two_producers_of_one_station_stand_in_for_each_other(kafka_settings, open_reader):
    samples = noise(6)
    first, second = [0, 1, 2, 5, 6, 9], [0, 2, 3, 4, 6, 7, 8, 9, 11]  # neither has 10
    both = [i for i in range(12) for have in (first, second) if i in have]
    send_in(kafka_settings, samples, both)
    reader, align = open_reader(kafka_settings), Align(RATE, 2.0)
    reader.read_until(lambda: len(reader.chunks.get("a", [])) == len(both))
    passed = align.push([*reader.chunks["a"], end_of("a", RATE)])
    received = np.concatenate([each.samples for each in passed if isinstance(each, AudioChunk)])
    assert np.array_equal(received, np.delete(samples, np.s_[10 * CHUNK : 11 * CHUNK]))
    assert (align.counts["gaps"], align.counts["dropped"]) == (1, 4)
    assert [each.start for each in passed if each.start % CHUNK] == []
