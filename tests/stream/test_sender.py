"""A message counts as sent when the broker has returned its offset."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    PolicyViolationError,
    TopicAuthorizationFailedError,
)

from airsift.errors import BrokerError
from stream.kafka.client import producer as module
from stream.kafka.client.limits import TopicLimits
from stream.kafka.client.producer import Producer
from stream.kafka.client.refusals import Refusals
from stream.kafka.settings import KafkaSettings


class FakeKafkaProducer:
    """Acknowledges each message with the next of `answers`: an offset, or an error."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.sent = []
        self._waiting = []
        self._sender = SimpleNamespace(add_topic=lambda topic: None)

    def send(self, topic, value, key, headers, partition, timestamp_ms=None):
        self.sent.append(value)
        future = SimpleNamespace(is_done=False, failed=lambda: False, value=None, exception=None)
        self._waiting.append(future)
        return future

    def flush(self, timeout):
        for future in self._waiting:
            answer = self.answers.pop(0)
            future.is_done = True
            if isinstance(answer, Exception):
                future.failed, future.exception = (lambda: True), answer
            else:
                future.value = SimpleNamespace(offset=answer)
        self._waiting = []


def make(monkeypatch, answers):
    producer = FakeKafkaProducer(answers)
    monkeypatch.setattr(module, "connect_producer", lambda settings, **_: producer)
    return Producer(KafkaSettings.default()), producer


def test_what_the_broker_takes_for_a_repetition_is_sent_again(monkeypatch):
    sender, producer = make(monkeypatch, [5, -1, 6, 7])
    first, doubtful, last = (sender.send("t", b"k", value, []) for value in (b"a", b"b", b"c"))
    sender.flush()
    assert producer.sent == [b"a", b"b", b"c", b"b"]
    assert [sent.kafka_offset for sent in (first, doubtful, last)] == [5, 7, 6]
    assert sender.pending == 0


def test_it_is_sent_again_once_and_without_a_flush_too(monkeypatch):
    sender, producer = make(monkeypatch, [-1, -1])
    sender.send("t", b"k", b"a", [])
    producer.flush(1)
    assert sender.pending == 1
    sender.flush()
    assert producer.sent == [b"a", b"a"]
    assert sender.pending == 0


def test_in_a_transaction_nothing_is_sent_again():
    producer = FakeKafkaProducer([-1])
    sender = Producer(KafkaSettings.default(), producer)
    sender.send("t", b"k", b"a", [])
    sender.flush()
    assert producer.sent == [b"a"]


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12))
def test_no_offset_is_ever_negative(answers):
    with pytest.MonkeyPatch.context() as patch:
        sender, producer = make(patch, answers + [-1] * len(answers))
        sent = [sender.send("t", b"k", bytes([n]), []) for n in range(len(answers))]
        sender.flush()
    assert all(each.kafka_offset is None or each.kafka_offset >= 0 for each in sent)
    # What the broker does not place is sent once more, and no more than that.
    assert len(producer.sent) == len(answers) + answers.count(-1)
    assert [s.kafka_offset for s, a in zip(sent, answers, strict=True) if a >= 0] == [
        a for a in answers if a >= 0
    ]


class Broker:
    """Answers each message with `error_for`'s result, or as kafka-python after a refusal."""

    def __init__(self, error_for):
        self.error_for = error_for
        self.log = []
        self.producers = []

    def connect(self, settings, **options):
        made = Refusing(self, one_by_one=options.get("batch_size") == 1)
        self.producers.append(made)
        return made


class Refusing:
    def __init__(self, broker, one_by_one):
        self.broker, self.one_by_one, self.closed = broker, one_by_one, False
        self._waiting, self._broken = [], None
        self._sender = SimpleNamespace(add_topic=lambda topic: None)

    def send(self, topic, value, key, headers, partition, timestamp_ms=None):
        assert not self.closed
        future = SimpleNamespace(is_done=False, failed=lambda: False, value=None, exception=None)
        self._waiting.append((topic, value, future))
        return future

    def flush(self, timeout):
        for topic, value, future in self._waiting:
            error = self._broken or self.broker.error_for(topic, value)
            future.is_done = True
            if error is not None:
                future.failed, future.exception = (lambda: True), error
                self._broken = None if self.one_by_one else error
            else:
                self.broker.log.append((topic, value))
                future.value = SimpleNamespace(offset=len(self.broker.log) - 1)
        self._waiting = []

    def close(self, timeout):
        self.closed = True


def no_limits(settings, now=lambda: 0.0):
    return Refusals(settings, TopicLimits(settings, [], query=dict, now=now), now)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from([None, InvalidRecordError, PolicyViolationError])
        ),
        max_size=9,
    )
)
def test_what_is_refused_costs_itself_alone(requests):
    verdicts = {bytes([n]): error for n, (_, error) in enumerate(requests)}
    broker = Broker(lambda _, value: verdicts[value] and verdicts[value]())
    settings = KafkaSettings.default()
    refusals = no_limits(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "connect_producer", broker.connect)
        sender = Producer(settings, refusals=refusals)
        sent = [sender.send(t, b"k", bytes([n]), []) for n, (t, _) in enumerate(requests)]
        sender.flush()
        assert sender.pending == 0
        # The next one goes through, whatever became of these.
        verdicts[bytes([100])] = None
        sender.send("z", b"k", bytes([100]), [])
        sender.flush()
        sender.close()
    fine = [(t, bytes([n])) for n, (t, error) in enumerate(requests) if error is None]
    assert sorted(broker.log) == sorted([*fine, ("z", bytes([100]))])
    assert [bool(each.code) for each in sent] == [error is not None for _, error in requests]
    assert refusals.counts.total() == sum(error is not None for _, error in requests)
    assert all(producer.closed for producer in broker.producers)


def test_a_broker_that_does_not_answer_is_no_refusal(monkeypatch):
    broker = Broker(lambda *_: KafkaTimeoutError("late"))
    monkeypatch.setattr(module, "connect_producer", broker.connect)
    sender = Producer(KafkaSettings.default(), refusals=no_limits(KafkaSettings.default()))
    sender.send("t", b"k", b"a", [])
    with pytest.raises(BrokerError, match="no Kafka broker answers"):
        sender.flush()


def test_a_topic_that_refuses_everything_is_left_alone_for_a_minute(monkeypatch):
    at = 0.0
    settings = KafkaSettings.default()
    broker = Broker(lambda topic, _: TopicAuthorizationFailedError() if topic == "no" else None)
    monkeypatch.setattr(module, "connect_producer", broker.connect)
    refusals = no_limits(settings, lambda: at)
    sender = Producer(settings, refusals=refusals)
    for turn in range(50):
        sender.send("no", b"k", bytes([turn]), [])
        sender.send("yes", b"k", bytes([turn]), [])
        sender.flush()
    assert (refusals.counts["no"], refusals.counts["yes"]) == (50, 0)
    assert len(broker.producers) == 3  # one, the next one, and the one for single messages
    at, broker.error_for = 61.0, lambda *_: None
    sender.send("no", b"k", b"!", [])
    sender.flush()
    assert ("no", b"!") in broker.log
    assert refusals.counts["no"] == 50


def test_a_refusal_is_an_error(monkeypatch):
    sender, _ = make(monkeypatch, [1, KafkaError("no")])
    sender.send("t", b"k", b"a", [])
    sender.send("t", b"k", b"b", [])
    with pytest.raises(BrokerError, match="a message was refused"):
        sender.flush()
