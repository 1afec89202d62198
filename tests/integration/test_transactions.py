"""Exactly once: committed, aborted and fenced transactions."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from kafka import TopicPartition
from kafka.errors import InvalidTxnStateError, KafkaError
from kafka.producer.transaction_manager import TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata

from airsift.errors import BrokerError, ConfigError
from stream.kafka.client.connect import connect_consumer, ensure_topics
from stream.kafka.client.tail import follow
from stream.kafka.client.transactions import Transactions
from stream.kafka.embedded_broker import EmbeddedBroker
from tests.integration.brokers import settings_of


@pytest.fixture
def settings(apache_settings):
    made = apache_settings.model_copy(
        update={
            "exactly_once": True,
            "transactional_id": apache_settings.group,
            "session_timeout_s": 10.0,
            "delivery_timeout_s": 20.0,
        }
    )
    ensure_topics(made, [made.topics.audio, made.topics.gaps])
    return made


@pytest.fixture
def audio(settings):
    return TopicPartition(settings.topics.audio, 0)


@pytest.fixture
def member(settings):
    """Join the group and return who commits."""
    with closing(connect_consumer(settings, group_id=settings.group)) as consumer:
        consumer.subscribe([settings.topics.audio])
        deadline = time.monotonic() + 30
        while not consumer.assignment():
            assert time.monotonic() < deadline
            consumer.poll(timeout_ms=100)
        yield consumer.group_metadata()


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
        return consumer.committed(TopicPartition(settings.topics.audio, 0), timeout_ms=5000)


def test_messages_and_offsets_count_together_or_not_at_all(settings, audio, member):
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
        assert transactions.commit({audio: 7}, member)
        assert transactions.commit({audio: 8}, member)  # with nothing else
        transactions.send(topic, b"k", b"second", [], 0)
        assert transactions.commit({}, member)
        assert reads.values(2) == [b"first", b"second"]
        assert committed(settings) == 8


def test_subscribers_do_not_see_aborted_events(settings, member):
    topic = settings.topics.matches
    ensure_topics(settings, [topic])
    with closing(Transactions(settings)) as transactions:
        transactions.send(topic, b"k", b"undone", [], 0)
        transactions.flush()
        transactions.abort()
        transactions.send(topic, b"k", b"done", [], 0)
        assert transactions.commit({}, member)
    plain = settings.model_copy(update={"exactly_once": False})

    class Never:
        requested = False

    shown = follow(plain, [topic], stop=Never(), from_start=True, until_end=True)
    assert [record.value for record in shown] == [b"done"]


def test_outside_the_group_nothing_counts(settings, audio, member):
    nobody = ConsumerGroupMetadata(settings.group, -1, "", None)
    with closing(Transactions(settings)) as transactions, closing(Reads(settings)) as reads:
        transactions.send(settings.topics.gaps, b"k", b"a zombie's", [], 0)
        assert not transactions.commit({audio: 99}, nobody)
        transactions.send(settings.topics.gaps, b"k", b"later", [], 0)
        assert transactions.commit({audio: 9}, member)
        assert reads.values(1) == [b"later"]
        assert committed(settings) == 9


def test_a_transaction_that_the_broker_has_ended_is_begun_again(
    settings, audio, member, monkeypatch
):
    """This happens when the coordinator was away for longer than the transaction timeout."""
    with closing(Transactions(settings)) as transactions, closing(Reads(settings)) as reads:
        transactions.send(settings.topics.gaps, b"k", b"undone", [], 0)
        transactions.flush()

        def refuse(self, response):
            self.fatal_error(KafkaError(f"Unexpected error in it: {InvalidTxnStateError()}"))

        with monkeypatch.context() as patched:
            patched.setattr(TxnOffsetCommitHandler, "handle_response", refuse)
            assert not transactions.commit({audio: 99}, member)
        transactions.send(settings.topics.gaps, b"k", b"again", [], 0)
        assert transactions.commit({audio: 9}, member)
        assert reads.values(1) == [b"again"]
        assert committed(settings) == 9


def test_what_was_open_when_a_worker_died_is_undone_by_its_successor(settings, audio, member):
    with closing(Reads(settings)) as reads:
        died = Transactions(settings)
        died.send(settings.topics.gaps, b"k", b"of the dead", [], 0)
        died.flush()
        died._identity.close()  # as the system does
        with closing(Transactions(settings)) as successor:
            successor.send(settings.topics.gaps, b"k", b"of the living", [], 0)
            assert successor.commit({}, member)
        assert reads.values(1) == [b"of the living"]
        with pytest.raises(BrokerError, match=r"place is taken.*transactional_id=") as error:
            died.commit({audio: 1}, member)
        assert "\n" not in str(error.value)
        died.close()
        assert committed(settings) != 1


def test_a_broker_that_delivers_what_was_undone_is_refused():
    with EmbeddedBroker() as broker:
        pretends = settings_of(broker).model_copy(update={"exactly_once": True})
        refused(pretends)


def refused(pretends):
    with pytest.raises(ConfigError, match=r"delivers transactions that were aborted.*Kafka 2\.5"):
        Transactions(pretends)
