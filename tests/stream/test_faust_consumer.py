"""Messages that Faust drops are fetched again; holes of the partition itself are passed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from faust.types.tuples import TP

from stream.kafka.faust import consumer as consumer_module
from stream.kafka.faust.consumer import FaustConsumer
from stream.kafka.settings import KafkaSettings


class Loop:
    """The loop of the thread that fetches."""

    runs = False

    def call_soon_threadsafe(self, call):
        self.runs = True
        call()
        self.runs = False


class Topic:
    """A partition that is read from where it was last sought."""

    def __init__(self, offsets):
        self.offsets = list(offsets)
        self.sought = []
        self.thread_loop = Loop()

    def seek(self, tp, at):
        assert self.thread_loop.runs  # what is fetched belongs to the thread that fetches
        self.sought.append(at)


@pytest.fixture
def make(monkeypatch):
    monkeypatch.setattr(consumer_module.time, "monotonic", lambda: make.now)

    async def build(committed, topic):
        consumer = FaustConsumer(KafkaSettings.default())
        consumer.app.consumer._thread = topic
        consumer._begins = {0: committed}
        return consumer

    make = SimpleNamespace(now=0.0, consumer=lambda *args: asyncio.run(build(*args)))
    return make


def process(consumer, offsets, following=None):
    """Return those of `offsets` that are processed, as a worker does."""
    processed = []
    for offset in offsets:
        if following is not None and offset < following:
            continue
        if consumer.follows(SimpleNamespace(partition=0, offset=offset), following):
            processed.append(offset)
            following = offset + 1
    return processed


def test_what_follows_is_processed_and_nothing_sought(make):
    topic = Topic(range(10))
    assert process(make.consumer(3, topic), [3, 4, 5]) == [3, 4, 5]
    assert topic.sought == []


def test_what_was_dropped_is_read_again(make):
    topic = Topic(range(10))
    assert process(make.consumer(3, topic), [7, 8, 9, 3, 4, 5, 6, 7, 8, 9]) == [3, 4, 5, 6, 7, 8, 9]
    assert topic.sought == [3]


def test_a_hole_that_is_there_when_read_again_is_passed(make):
    topic = Topic([7, 8, 9, 12])
    assert process(make.consumer(3, topic), [7, 8, 7, 8, 12, 13, 12, 13]) == [7, 8, 12, 13]
    assert topic.sought == [3, 9]


def test_a_seek_without_effect_is_done_again(make):
    topic = Topic(range(10))
    consumer = make.consumer(3, topic)
    assert process(consumer, [7, 8, 9]) == []
    make.now = 2.5
    assert process(consumer, [10, 3, 4]) == [3, 4]
    assert topic.sought == [3, 3]


def test_without_a_committed_offset_any_message_is_the_first(make):
    topic = Topic(range(10))
    consumer = make.consumer(3, topic)
    consumer._begins.clear()
    assert process(consumer, [7, 8]) == [7, 8]


class Consumer:
    """Faust's consumer in a group that has committed nothing."""

    def __init__(self, end):
        self.end, self.tried = end, []
        self._thread = Topic([])

    @property
    def sought(self):
        return self._thread.sought

    async def seek_to_committed(self):
        return {TP("airsift.audio", 0): None}

    async def highwaters(self, *tps):
        return dict.fromkeys(tps, self.end)

    async def _commit(self, offsets):
        self.tried.append(list(offsets.values()))
        return False


def test_latest_is_where_the_group_began():
    async def run():
        consumer = FaustConsumer(KafkaSettings.default(start_from="latest"))
        faust = Consumer(7)
        consumer.app = SimpleNamespace(consumer=faust)
        await consumer._seek_committed()
        faust.end = 9  # two messages, and a rebalance before either was processed
        await consumer._seek_committed()
        return faust, consumer._begins

    faust, begins = asyncio.run(run())
    assert (faust.sought, faust.tried, begins) == ([7, 7], [[7], [7]], {0: 7})
