"""A message counts as sent when the broker says where it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.errors import KafkaError

from airsift.errors import BrokerError
from stream.kafka import sender as module
from stream.kafka.sender import Sender
from stream.kafka.settings import KafkaSettings


class Producer:
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
    producer = Producer(answers)
    monkeypatch.setattr(module, "connect_producer", lambda settings, **_: producer)
    return Sender(KafkaSettings()), producer


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
    producer = Producer([-1])
    sender = Sender(KafkaSettings(), producer)
    sender.send("t", b"k", b"a", [])
    sender.flush()
    assert producer.sent == [b"a"]


def test_a_refusal_is_an_error(monkeypatch):
    sender, _ = make(monkeypatch, [1, KafkaError("no")])
    sender.send("t", b"k", b"a", [])
    sender.send("t", b"k", b"b", [])
    with pytest.raises(BrokerError, match="a message was refused"):
        sender.flush()
