"""Exactly once: what counts, what is undone, and who is refused."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import IllegalGenerationError
from kafka.producer.transaction_manager import TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata

from airsift.errors import BrokerError, ConfigError
from stream.audio import AudioChunk
from stream.drive import Stop, drive
from stream.events import Decision
from stream.kafka.client import connect_consumer, ensure_topics
from stream.kafka.sender import Sender
from stream.kafka.settings import KafkaSettings
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource
from stream.kafka.tail import follow
from stream.kafka.transactions import Transactions
from stream.kafka.wire import encode
from stream.watch import Nobody
from tests.integration import mended
from tests.integration.transactional import transactional_broker

MEMBER = ConsumerGroupMetadata("group", 1, "member", None)
AUDIO = TopicPartition("airsift.audio", 0)


@pytest.fixture(autouse=True)
def mended_client(monkeypatch):
    monkeypatch.setattr(mended.Fetcher.PartitionRecords, "__init__", mended._mended)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with transactional_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def settings(servers):
    made = KafkaSettings(
        bootstrap_servers=servers,
        group="group",
        exactly_once=True,
        transactional_id="one",
        connect_timeout_s=3.0,
        delivery_timeout_s=5.0,
    )
    ensure_topics(made, [made.topics.audio, made.topics.gaps])
    return made


class Reads:
    """Reads the gaps as a subscriber does that wants only what counts."""

    def __init__(self, settings):
        self._consumer = connect_consumer(settings)
        self._tp = TopicPartition(settings.topics.gaps, 0)
        self._consumer.assign([self._tp])
        self._consumer.seek_to_end(self._tp)
        self._consumer.position(self._tp)

    def values(self, count, timeout_s=60.0):
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < deadline:
            for records in self._consumer.poll(timeout_ms=100).values():
                found += [record.value for record in records]
        return found

    def close(self):
        self._consumer.close()


def committed(settings):
    """Return the group's offset on the audio topic."""
    with closing(connect_consumer(settings, group_id=settings.group)) as consumer:
        return consumer.committed(AUDIO, timeout_ms=5000)


def test_messages_and_offsets_count_together_or_not_at_all(settings):
    topic = settings.topics.gaps
    with closing(Transactions(settings)) as transactions, closing(Reads(settings)) as reads:
        before = committed(settings)
        transactions.send(topic, b"k", b"undone", [], 0)
        transactions.flush()
        assert transactions.pending == 0
        transactions.abort()
        transactions.send(topic, b"k", b"first", [], 0)
        transactions.flush()
        assert reads.values(1, timeout_s=0.5) == []
        assert committed(settings) == before
        assert transactions.commit({AUDIO: 7}, MEMBER)
        assert transactions.commit({AUDIO: 8}, MEMBER)  # with nothing else
        transactions.send(topic, b"k", b"second", [], 0)
        assert transactions.commit({}, MEMBER)
        assert reads.values(2) == [b"first", b"second"]
        assert committed(settings) == 8


def test_whoever_looks_on_is_not_shown_what_was_undone(settings):
    topic = settings.topics.matches
    ensure_topics(settings, [topic])
    with closing(Transactions(settings)) as transactions:
        transactions.send(topic, b"k", b"undone", [], 0)
        transactions.flush()
        transactions.abort()
        transactions.send(topic, b"k", b"done", [], 0)
        assert transactions.commit({}, MEMBER)
    plain = settings.model_copy(update={"exactly_once": False})

    class Never:
        requested = False

    shown = follow(plain, [topic], stop=Never(), from_start=True, until_end=True)
    assert [record.value for record in shown] == [b"done"]


def test_outside_the_group_nothing_counts(settings):
    nobody = ConsumerGroupMetadata("group", -1, "", None)
    with closing(Transactions(settings)) as transactions, closing(Reads(settings)) as reads:
        transactions.send(settings.topics.gaps, b"k", b"a zombie's", [], 0)
        assert not transactions.commit({AUDIO: 99}, nobody)
        transactions.send(settings.topics.gaps, b"k", b"later", [], 0)
        assert transactions.commit({AUDIO: 9}, MEMBER)
        assert reads.values(1) == [b"later"]
        assert committed(settings) == 9


def test_what_was_open_when_a_worker_died_is_undone_by_its_successor(settings):
    with closing(Reads(settings)) as reads:
        died = Transactions(settings)
        died.send(settings.topics.gaps, b"k", b"of the dead", [], 0)
        died.flush()
        with closing(Transactions(settings)) as successor:
            successor.send(settings.topics.gaps, b"k", b"of the living", [], 0)
            assert successor.commit({}, MEMBER)
        assert reads.values(1) == [b"of the living"]
        with pytest.raises(BrokerError, match=r"place is taken.*transactional_id='one'") as told:
            died.commit({AUDIO: 1}, MEMBER)
        assert "\n" not in str(told.value)
        died.close()
        assert committed(settings) != 1


def test_a_broker_that_delivers_what_was_undone_is_refused(kafka_settings):
    pretends = kafka_settings.model_copy(update={"exactly_once": True})
    with pytest.raises(ConfigError, match=r"delivers transactions that were aborted.*Kafka 2\.5"):
        Transactions(pretends)


STATIONS, SECONDS, RATE = ("a", "b"), 60, 16000


class Seconds:
    """A pipeline that says of each second how loud it is, and knows where it is."""

    rate = RATE

    def __init__(self):
        self._next = {}

    def push(self, chunks, *, last=False):
        events = []
        for chunk in chunks:
            if chunk.start >= self._next.get(chunk.station, 0):
                loudness = float(np.abs(chunk.samples).mean())
                place = (chunk.station, chunk.start, chunk.end, chunk.rate, None)
                events.append(Decision(*place, loudness, 1 - loudness))
                self._next[chunk.station] = chunk.end
        return events

    def snapshot(self, station):
        return {"oldest": self._next.get(station, 0)}

    def restore(self, station, snapshot):
        self._next[station] = snapshot["oldest"]

    def forget(self, station):
        self._next.pop(station, None)


class DiedError(Exception):
    """The process is gone: nothing of it is finished."""


class Turns(Nobody):
    """Counts the turns of the loop; dies at some, and ends it when all was said."""

    def __init__(self, stop, deaths):
        self._stop = stop
        self._deaths = set(deaths)
        self._count = 0
        self._last = dict.fromkeys(STATIONS, 0)

    def turn(self, batch, events):
        self._count += 1
        if self._count in self._deaths:
            raise DiedError
        for event in events:
            if event.kind == "decision":
                self._last[event.station] = event.end // event.rate
        if min(self._last.values()) >= SECONDS:
            self._stop.request()


def work(settings, deaths=()):
    """Run a worker until all has been said or it dies; return how often it lost its place."""
    stop = Stop()
    transactions = Transactions(settings)
    source = KafkaSource(settings, transactions=transactions)
    sink = KafkaSink(settings, transactions)
    turns = Turns(stop, deaths)
    try:
        drive(source, Seconds(), [sink], checkpoint_s=0.03, stop=stop, observer=turns)
    except DiedError:
        source._consumer.close()  # the group would wait for the dead; its transaction stays open
        return source.counts
    source.close()
    transactions.close()
    return source.counts


def said(settings):
    """Return what a subscriber sees that wants only what counts."""
    found = Counter()
    topics = list(settings.topics.events.values())
    for record in follow(settings, topics, stop=Stop(), from_start=True, until_end=True):
        found[record.value] += 1
    return found


def as_group(settings, name):
    topics = settings.topics.model_dump() | {
        kind: f"{name}.{kind}" for kind in ("decisions", "segments", "matches", "gaps")
    }
    return settings.model_copy(
        update={
            "group": name,
            "transactional_id": name,
            "poll_messages": 4,
            "topics": type(settings.topics)(**topics | {"partitions": 2}),
        }
    )


def test_each_event_once_whoever_dies_or_loses_its_place(settings, monkeypatch):
    rng = np.random.default_rng(5)
    sender = Sender(settings)
    ensure_topics(settings, [settings.topics.audio])
    for second in range(SECONDS):
        for station in STATIONS:
            loud = 0.3 if second // 10 % 2 else 0.01
            samples = (loud * rng.standard_normal(RATE)).astype(np.float32)
            message = encode(AudioChunk(station, second * RATE, samples, RATE))
            sender.send(settings.topics.audio, message.key, message.value, message.headers)
    sender.flush()
    sender.close()
    calm = as_group(settings, "calm")
    work(calm)
    expected = said(calm)
    assert set(expected.values()) == {1}

    deaths = as_group(settings, "deaths")
    for turn in (3, 9, 14):
        work(deaths, [turn])
    work(deaths)
    assert said(deaths) == expected

    # The group gives the partitions to others for a while: once nobody tells this member, and
    # twice the broker refuses what it commits.
    nobody = ConsumerGroupMetadata("unsure", -1, "", None)
    real = KafkaConsumer.group_metadata
    asked = itertools.count()
    monkeypatch.setattr(
        KafkaConsumer,
        "group_metadata",
        lambda consumer: nobody if next(asked) == 2 else real(consumer),
    )
    handle, answers = TxnOffsetCommitHandler.handle_response, itertools.count()

    def refuse(handler, response):
        if next(answers) in (3, 6):
            for topic in response.topics:
                for partition in topic.partitions:
                    partition.error_code = IllegalGenerationError.errno
        handle(handler, response)

    monkeypatch.setattr(TxnOffsetCommitHandler, "handle_response", refuse)
    unsure = as_group(settings, "unsure")
    assert work(unsure)["commit_failures"] == 3
    assert said(unsure) == expected
