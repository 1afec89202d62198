"""A Faust worker resumes from all records of the state topic, to the last one."""

from __future__ import annotations

import asyncio

import pytest

from stream.kafka.checkpoint.record import StationRecord, as_record
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.faust.state_table import StateTable
from tests.stream.doubles import snapshot as snapshot_at


def saved(station, oldest):
    return StationRecord(station, 0, oldest, 16_000, snapshot_at(oldest))


def known(snapshots, partition):
    return {each.station: each.snapshot.oldest for each in snapshots.of(partition)}


@pytest.mark.parametrize("batches", [[4], [1, 3], [3, 1], [1, 1, 1, 1]])
def test_the_last_batch_is_read_whole_and_nothing_twice(kafka_settings, batches):
    settings = kafka_settings
    topic, written = settings.topics.state, [("a", 1), ("b", 1), ("a", 2), ("c", 1)]
    ensure_topics(settings, [topic])
    sender, left = Producer(settings), list(written)
    restored = []

    def write(size):
        for _ in range(size):
            key, value, headers = as_record(settings.group, 1, saved(*left.pop(0)))
            sender.send(topic, key, value, headers, 1)
        sender.flush()

    async def restore():
        snapshots = StateTable(settings, lambda: restored.append(None), lambda: None)
        assert known(snapshots, 1) == {}
        for size in batches:
            await asyncio.to_thread(write, size)
            await snapshots.restore([0, 1])
        return known(snapshots, 1), known(snapshots, 0)

    ours, others = asyncio.run(asyncio.wait_for(restore(), 120))
    sender.close()
    assert (ours, others) == ({"a": 2, "b": 1, "c": 1}, {})
    assert len(restored) == len(written)
