"""A station that moves to another partition continues there without a difference."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import BrokerError
from stream.audio import AudioChunk
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.checkpoint.record import StationRecord, StreamCount, as_record
from stream.kafka.client.moved_stations import MovedStations
from stream.kafka.codec.message import encode
from stream.kafka.records.consumer_record import Received
from stream.kafka.settings import KafkaSettings
from tests.stream.doubles import snapshot

RATE, SIZE = 16000, 1600
SETTINGS = KafkaSettings.default(group="g", idle_s=30.0, forget_s=60.0)


class Topic:
    """The audio topic's partitions, and what the group has stored."""

    def __init__(self, partitions=2):
        self.partitions = partitions
        self.logs = {}
        self.stored = []
        self.reads = 0
        self.fails = False

    def send(self, station, n, partition):
        log = self.logs.setdefault(partition, [])
        samples = np.full(SIZE, (n + 1) / 1000, np.float32)
        message = encode(AudioChunk(station, n * SIZE, samples, RATE))
        log.append(Received("audio", partition, len(log), -1, *message))
        return log[-1]

    def store(self, records):
        for partition, saved in records:
            key, value, _ = as_record("g", partition, saved)
            self.stored.append(
                SimpleNamespace(topic="s", partition=partition, offset=0, key=key, value=value)
            )

    def moved(self):
        return MovedStations(
            SETTINGS, lambda: self.partitions, self.records, self.messages, now=lambda: 0.0
        )

    def records(self, partitions):
        if self.fails:
            raise BrokerError("no answer")
        self.reads += 1
        return list(self.stored)

    def messages(self, partition, kafka_offset):
        return self.logs.get(partition, [])[kafka_offset:]


class Worker:
    """Reads some partitions, and keeps the samples of each station that it was given."""

    def __init__(self, topic, partitions):
        self.topic, self.at = topic, 0.0
        self.moved = topic.moved()
        self.moved.begin({})
        self.reader = PartitionReader(
            SETTINGS, RATE, self.refuse, lambda: self.at, moved=self.moved
        )
        self.received, self.resumed, self.refused = {}, {}, []
        for partition in partitions:
            self.begin(partition, 0)

    def refuse(self, message, reason):
        self.refused.append(reason)

    def begin(self, partition, kafka_offset, left=()):
        self.resumed |= self.reader.begin(partition, kafka_offset, left)

    def take(self, message):
        for chunk in self.reader.read(message):
            starts = self.received.setdefault(chunk.station, [])
            starts.append(chunk.start // SIZE)
        self.resumed |= self.reader.pop_resumed()

    def checkpoint(self, station, needs):
        """Store what a snapshot that needs audio from chunk `needs` on goes on with."""
        records = self.reader.checkpoint({station: snapshot(needs * SIZE)})
        self.topic.store(records)
        return dict(records)


def grown(at, needs, partitions=5):
    """A station is on partition 0 up to chunk `at`; its owner has stored that it needs `needs`."""
    topic = Topic()
    old, new = Worker(topic, [0]), Worker(topic, [4])
    for n in range(at):
        old.take(topic.send("a", n, 0))
    old.checkpoint("a", needs)
    topic.partitions = partitions
    return topic, old, new


@given(at=st.integers(1, 30), data=st.data())
def test_its_new_owner_begins_where_the_snapshot_needs_it_and_misses_nothing(at, data):
    needs = data.draw(st.integers(0, at - 1))
    unread = data.draw(st.integers(0, 5))
    topic, _, new = grown(at, needs)
    for n in range(at, at + unread):  # on their way when partitions were added
        topic.send("a", n, 0)
    topic.send("b", 0, 0)
    for n in range(at + unread, at + unread + 3):
        new.take(topic.send("a", n, 4))
    first = max(needs - 1, 0)  # a decoder wants a running start
    assert new.received["a"] == list(range(first, at + unread + 3))
    assert new.resumed["a"].oldest == needs * SIZE
    assert new.reader.counts["moved"] == 1


def test_its_record_is_stored_once_a_restart_needs_its_new_partition_alone():
    topic, _, new = grown(10, 5)
    for n in range(10, 16):
        new.take(topic.send("a", n, 4))
    assert new.checkpoint("a", 8) == {}
    assert new.reader.commit_offset(4) == 0
    stored = new.checkpoint("a", 14)
    assert (stored[4].kafka_offset, new.reader.commit_offset(4)) == (3, 3)


def test_a_restart_before_that_finds_it_on_the_old_partition_again():
    topic, _, new = grown(10, 5)
    for n in range(10, 14):
        new.take(topic.send("a", n, 4))
    new.checkpoint("a", 8)
    third = Worker(topic, [])
    third.moved.begin({0: 8, 1: None})
    third.begin(4, new.reader.commit_offset(4))
    for message in topic.logs[4]:
        third.take(message)
    assert third.received["a"] == list(range(4, 14))


def test_what_is_left_on_a_partition_of_its_own_comes_first():
    topic = Topic()
    worker = Worker(topic, [0, 4])
    for n in range(5):
        worker.take(topic.send("a", n, 0))
    topic.partitions = 5
    left = [topic.send("a", n, 0) for n in range(5, 9)]
    worker.take(topic.send("a", 9, 4))
    for message in left:  # they come once more
        worker.take(message)
    worker.take(topic.send("a", 10, 4))
    assert worker.received["a"] == list(range(11))
    assert worker.reader.counts["repeats"] == 4


def test_its_old_owner_lets_go_of_it_without_an_end():
    topic, old, new = grown(10, 5)
    for n in range(10, 30):
        new.take(topic.send("a", n, 4))
    new.checkpoint("a", 25)
    ends, forgotten = [], set()
    for _ in range(45):
        old.at += 1
        more, gone = old.reader.tick([0])
        ends += more
        forgotten |= gone
        topic.store(old.reader.checkpoint({}))
        old.reader.commit_offset(0)
    assert (ends, forgotten) == ([], {"a"})
    assert topic.stored[-1].value is None


def test_one_that_has_not_moved_is_ended_as_ever():
    topic, old, _ = grown(10, 5)
    ends = []
    for _ in range(45):
        old.at += 1
        ends += old.reader.tick([0])[0]
        topic.store(old.reader.checkpoint({}))
    assert [chunk.ends for chunk in ends] == ["idle"]


def test_the_newer_of_two_records_counts_in_any_order():
    older = StationRecord(
        "a", 3, 3 * SIZE, RATE, snapshot(4 * SIZE), read_to=9, count=StreamCount(0, 1)
    )
    newer = StationRecord(
        "a", 1, 7 * SIZE, RATE, snapshot(8 * SIZE), read_to=4, count=StreamCount(0, 2)
    )
    for order in ([(0, older), (1, newer)], [(1, newer), (0, older)]):
        worker = Worker(Topic(), [])
        for partition, saved in order:
            worker.begin(partition, 0, [saved])
        assert worker.resumed["a"] == newer.snapshot


def test_a_new_station_is_new_and_the_topic_is_read_once_for_many():
    topic, _, new = grown(3, 0)
    for n in range(50):
        new.take(topic.send(f"new{n}", 0, 4))
    assert (topic.reads, new.reader.counts["moved"], new.resumed) == (1, 0, {})


def test_nothing_is_read_while_no_partition_was_added():
    topic, _, new = grown(3, 0, partitions=2)
    new.take(topic.send("a", 3, 4))
    assert (topic.reads, new.received["a"]) == (0, [3])


def test_a_broker_that_does_not_answer_has_it_begin_anew():
    topic, _, new = grown(3, 0)
    topic.fails = True
    new.take(topic.send("a", 3, 4))
    assert (new.received["a"], new.resumed) == ([3], {})


@pytest.mark.parametrize(
    ("committed", "grown"),
    [({0: 5, 1: None}, True), ({0: 5, 1: 7}, False), ({0: None, 1: None}, False), ({}, False)],
)
def test_partitions_nobody_has_read_were_added_while_no_worker_ran(committed, grown):
    moved = Topic().moved()
    moved.begin(committed)
    assert moved.grown is grown


def test_a_station_with_a_key_of_its_own_is_found_by_it():
    topic = Topic()
    for n in range(4):
        topic.send(f"key{n % 2}", n, partition=0)
    moved = MovedStations(
        SETTINGS, lambda: 2, topic.records, topic.messages, key_of={"one": "key1"}.__getitem__
    )
    found = moved.messages("one", 0, 0)
    assert [(message.offset, message.key) for message in found] == [(1, b"one"), (3, b"one")]
    assert [moved.belongs("one", p) for p in range(2)] == [
        topic.moved().belongs("key1", p) for p in range(2)
    ]
