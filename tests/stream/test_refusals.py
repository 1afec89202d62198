"""Limits of topics, and refused messages in Faust's producer."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest
from aiokafka.errors import InvalidTimestampError, KafkaTimeoutError, MessageSizeTooLargeError
from faust.exceptions import ProducerSendError
from hypothesis import given
from hypothesis import strategies as st

from stream.events import Decision
from stream.kafka.checkpoint.record import StationRecord
from stream.kafka.checkpoint.record_cache import RefusedRecords
from stream.kafka.client.limits import TopicLimits
from stream.kafka.client.refusals import Refusals
from stream.kafka.codec.message import Message
from stream.kafka.faust.producer import FaustProducer
from stream.kafka.records.size import batch_bytes
from stream.kafka.settings import KafkaSettings
from stream.telemetry.collector import Collector
from tests.stream.doubles import snapshot

SETTINGS = KafkaSettings.default()


def make_refusals(answers=None, now=lambda: 0.0):
    limits = TopicLimits(SETTINGS, [], query=lambda: answers or {}, now=now)
    return Refusals(SETTINGS, limits, now)


def test_limits_are_queried_again_and_replace_learned_ones(monkeypatch):
    at, answers = 0.0, [{"a": 100}, {"a": 200}]
    limits = TopicLimits(SETTINGS, ["a", "b"], query=lambda: answers.pop(0), now=lambda: at)
    limits.refused("b", 50)
    limits.refused("b", 70)
    assert (limits.reported("a"), limits.reported("b"), limits.learned("b")) == (100, None, 49)
    at = 601.0
    limits.reported("a")
    [thread] = [t for t in threading.enumerate() if t.name == "topic-limits"] or [None]
    if thread is not None:
        thread.join(10)
    assert (limits.reported("a"), limits.learned("b"), answers) == (200, None, [])


@given(
    st.one_of(st.none(), st.binary(max_size=300)),
    st.binary(max_size=300),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9)), max_size=4),
)
def test_a_message_is_as_long_as_its_batch(key, value, headers):
    from kafka.record.memory_records import MemoryRecordsBuilder

    builder = MemoryRecordsBuilder(2, 0, 1)
    builder.append(1_700_000_000_000, key, value, headers)
    builder.close()
    assert batch_bytes(key, value, headers) == len(builder.buffer())


class App:
    """Faust's app and producer; batches are refused as a whole, as by aiokafka."""

    def __init__(self, error_for):
        self.error_for = error_for
        self.log = []
        self.batch = []
        self._producer = None  # aiokafka's: used only for messages with a partition

    async def maybe_start_producer(self):
        return self

    async def send(self, topic, key, value, partition, timestamp, headers):
        if len(value) > 1000:
            raise ProducerSendError("too long") from MessageSizeTooLargeError()
        future = asyncio.get_running_loop().create_future()
        if not self.batch:
            asyncio.get_running_loop().call_soon(self._answer)
        self.batch.append((topic, value, future))
        return future

    def _answer(self):
        batch, self.batch = self.batch, []
        for topic in {t for t, _, _ in batch}:
            ours = [(v, f) for t, v, f in batch if t == topic]
            error = next(filter(None, (self.error_for(topic, v) for v, _ in ours)), None)
            for value, future in ours:
                if error is None:
                    self.log.append((topic, value))
                    future.set_result(SimpleNamespace(offset=0))
                else:
                    future.set_exception(error)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=9), st.integers(1, 3))
def test_the_faust_producer_skips_what_is_refused_and_nothing_else(requests, max_pending):
    bad = {bytes([n]) for n, (_, refused) in enumerate(requests) if refused}
    app = App(lambda _, value: InvalidTimestampError() if value in bad else None)
    refusals = make_refusals()

    async def work():
        producer = FaustProducer(app, max_pending, refusals)
        queued = []
        for n, (topic, _) in enumerate(requests):
            queued.append(producer.put(topic, Message(b"k", bytes([n]), [])))
            if n % 2:
                await producer.send()
        queued.append(producer.put("a", Message(b"k", bytes(2000), [])))
        await producer.flush()
        assert producer.queued == 0
        return queued

    queued = asyncio.run(work())
    assert sorted(app.log) == sorted(
        (t, bytes([n])) for n, (t, refused) in enumerate(requests) if not refused
    )
    assert [bool(p.code) for p in queued] == [*(refused for _, refused in requests), True]
    assert refusals.counts.total() == len(bad) + 1


def test_the_faust_producer_raises_what_is_no_refusal():
    async def work():
        producer = FaustProducer(App(lambda *_: KafkaTimeoutError()), 9, make_refusals())
        producer.put("a", Message(b"k", b"v", []))
        producer.put("b", Message(b"k", b"v", []))
        with pytest.raises(KafkaTimeoutError):
            await producer.flush()

    asyncio.run(work())


places = st.tuples(st.integers(0, 2), st.sampled_from("abc"))


@given(st.lists(st.tuples(places, st.booleans(), st.booleans()), max_size=30))
def test_a_partition_is_held_while_a_record_of_it_is_neither_stored_nor_withdrawn(answers):
    unstored, expected = RefusedRecords(), set()
    for (partition, station), withdrawn, refused in answers:
        saved = (
            StationRecord.tombstone(station)
            if withdrawn
            else StationRecord(station, 0, 0, 1, snapshot(0))
        )
        unstored.note(partition, saved, refused=refused)
        (expected.add if refused else expected.discard)((partition, station))
        assert unstored.blocked == {p for p, _ in expected}
        assert {(p, s.station) for p, s in unstored.withdrawals()} == expected
    unstored.drop({0})
    assert 0 not in unstored.blocked


def test_refusals_are_a_metric_by_topic_and_counted_once():
    refusals = make_refusals()
    event = Decision("a", 0, 16000, 16000, None, 0.5, 0.5).to_json().encode()
    refusals.count("airsift.gaps", b"k", len(event), 10)
    edge = SimpleNamespace(refused=refusals.counts, counts={})
    collector = Collector.__new__(Collector)
    collector._source, collector._sinks = edge, (edge, SimpleNamespace(refused={"x": 2}))
    samples = {s.labels["topic"]: s.value for s in collector._refused().samples}
    assert samples["airsift.gaps"] == 1
    assert samples["x"] == 2
    # A rate needs the zero before the first one.
    assert samples["airsift.state"] == samples["airsift.dead-letters"] == 0
