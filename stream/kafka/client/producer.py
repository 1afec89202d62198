"""Sends messages to Kafka, and tracks which ones the broker has acknowledged."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kafka.errors import KafkaError, UnknownError

from airsift.errors import BrokerError
from stream.kafka.client.connect import broker_errors, connect_producer, wait_for_partition
from stream.kafka.client.privates import force_close, keep_topic, waking_up_once
from stream.kafka.client.refusals import is_refusal
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafka import KafkaProducer
    from kafka.producer.future import FutureRecordMetadata

    from stream.kafka.client.refusals import Refusals
    from stream.kafka.codec.headers import Headers
    from stream.kafka.settings import KafkaSettings

# Each message is a batch of its own, and a refusal does not end the producer.
_ONE_BY_ONE = {
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "batch_size": 1,
    "linger_ms": 0,
}
# Code of a message that was not sent, because its transaction will be aborted anyway.
NOT_SENT = -1


class TransactionAborted(Exception):  # caught by `Transactions`, never shown
    """A transaction cannot be committed, because the broker refuses a message of it.

    Parameters
    ----------
    suspects : sequence of SentMessage
        Messages of which at least one was refused.
    """

    def __init__(self, suspects: Sequence[SentMessage]) -> None:
        super().__init__(f"{len(suspects)} messages")
        self.suspects = suspects


class Arguments(NamedTuple):
    """A message as the arguments of kafka-python's `send`."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Headers
    partition: int | None = None
    timestamp_ms: int | None = None


@dataclass(slots=True)
class SentMessage:
    """A message that was given to the producer."""

    message: Arguments
    future: FutureRecordMetadata | None
    is_resent: bool = False
    code: int = 0  # Kafka's error, if it was refused

    @property
    def kafka_offset(self) -> int | None:
        """The message's offset, once it is flushed; None where the broker does not report it."""
        if self.code or self.future is None:
            return None
        offset = self.future.value.offset
        return None if offset is None or offset < 0 else int(offset)


class Producer:
    """A Kafka producer that reports each failure.

    Parameters
    ----------
    settings : KafkaSettings
        The broker.
    producer : kafka.KafkaProducer, optional
        Sends in transactions; without one a new producer is connected.
    refusals : Refusals, optional
        Records messages that the broker refuses, which are skipped; without it the first refusal
        is an error.
    compression : str, optional
        Instead of ``kafka.compression``.
    counts : bool
        Whether skipped messages count in `refusals`; a caller that tries again counts itself.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        producer: KafkaProducer | None = None,
        *,
        refusals: Refusals | None = None,
        compression: str | None = None,
        counts: bool = True,
    ) -> None:
        self._settings = settings
        self._options = {} if compression is None else {"compression_type": compression}
        self._producer = producer or connect_producer(settings, **self._options)
        # For a duplicate sequence number the broker returns offset -1. A broker killed in
        # mid-write may have stored the sequence number without the record, so the message is sent
        # once more, which can duplicate it. In a transaction it cannot, since that is aborted.
        self._transactional = producer is not None
        self._refusals = refusals
        self._counts = counts
        self._pending: deque[SentMessage] = deque()
        self._suspects: list[SentMessage] = []  # refused, perhaps only together with others
        self._one_by_one: KafkaProducer | None = None
        self._topics: set[str] = set()

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Send what is given in the block together, after it."""
        with waking_up_once(self._producer):
            yield

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        while self._pending and self._is_done(self._pending[0]):
            self._acknowledge(self._pending.popleft())
        return len(self._pending) + len(self._suspects)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> SentMessage:
        """Give one message to the producer, which sends it within `linger_ms`.

        Returns
        -------
        SentMessage
            After `flush` it has the message's offset, or the code of its refusal.

        Raises
        ------
        BrokerError
            If the broker does not answer, or without `refusals` if the message is too large.
        """
        message = Arguments(topic, value, key, headers, partition, timestamp_ms)
        if code := self._expected_error(message):
            return SentMessage(message, None, code=code)
        if topic not in self._topics:
            keep_topic(self._producer, topic)
            self._topics.add(topic)
        sent = SentMessage(message, self._give(self._producer, message))
        self._pending.append(sent)
        return sent

    def flush(self) -> None:
        """Wait until the broker has everything that it does not refuse.

        Raises
        ------
        BrokerError
            If a message since the last flush was not acknowledged in `delivery_timeout_s`, or
            without `refusals` if one was refused.
        """
        while self._pending or self._suspects:
            if self._pending:
                self._await(self._producer)
                flushed = list(self._pending)
                self._pending.clear()
                for sent in flushed:
                    self._acknowledge(sent)
            if self._suspects:
                suspects, self._suspects = self._suspects, []
                self._send_one_by_one(suspects)

    def forget(self) -> None:
        """Drop the results of what was sent."""
        self._pending.clear()
        self._suspects.clear()

    def close(self) -> None:
        """Disconnect. What was not flushed may be lost."""
        for producer in filter(None, (self._producer, self._one_by_one)):
            _close(producer)
        self._one_by_one = None

    def _give(self, producer: KafkaProducer, message: Arguments) -> FutureRecordMetadata:
        topic = message.topic
        if message.partition is not None:
            wait_for_partition(self._settings, producer, topic, message.partition)
        try:
            return producer.send(*message)
        except Exception:
            doing = f"{len(message.value or b'')} bytes cannot be sent to topic {topic}"
            with broker_errors(self._settings, doing, operation="Write"):
                raise

    def _await(self, producer: KafkaProducer) -> None:
        limit_s = self._settings.delivery_timeout_s
        deadline = time.monotonic() + limit_s
        with broker_errors(self._settings):
            while True:
                try:
                    producer.flush(timeout=limit_s)
                except UnknownError:
                    # kafka-python has split a batch in two, and cannot wait for the parts.
                    if time.monotonic() > deadline:
                        raise
                else:
                    return

    def _acknowledge(self, sent: SentMessage) -> None:
        """Note the broker's answer to a message."""
        error = self._error_of(sent)
        if error is not None:
            if self._refusals is None or not is_refusal(error):
                self._raise(error)
            self._suspects.append(sent)
            return
        if self._refusals is not None:
            self._refusals.accepted(sent.message.topic)
        if sent.kafka_offset is None and not self._transactional and not sent.is_resent:
            sent.is_resent = True
            sent.future = self._give(self._producer, sent.message)
            self._pending.append(sent)

    def _send_one_by_one(self, suspects: Sequence[SentMessage]) -> None:
        """Find out which messages were refused, and publish the others.

        After a refusal kafka-python's producer cannot go on, and has failed all that it held for
        the same reason, whatever its topic.
        """
        if self._transactional:
            raise TransactionAborted(suspects)
        _close(self._producer)
        self._producer = connect_producer(self._settings, **self._options)
        self._topics.clear()
        if self._one_by_one is None:
            self._one_by_one = connect_producer(self._settings, **self._options, **_ONE_BY_ONE)
        assert self._refusals is not None
        resent = []
        for sent in suspects:
            sent.code = self._expected_error(sent.message)
            if not sent.code:
                sent.future = self._give(self._one_by_one, sent.message)
                resent.append(sent)
        self._await(self._one_by_one)
        for sent in resent:
            topic, value, key, headers = sent.message[:4]
            error = self._error_of(sent)
            if error is None:
                self._refusals.accepted(topic)
            elif is_refusal(error):
                sent.code = self._refusals.learn(topic, key, value, headers, error)
                self._count(sent.message, sent.code)
            else:
                self._raise(error)

    def _expected_error(self, message: Arguments) -> int:
        """Return the code for which a message is skipped without being sent, else 0."""
        if self._refusals is None:
            return 0
        topic, value, key, headers = message[:4]
        code = self._refusals.expected_error(topic, key, value, headers)
        if code:
            self._count(message, code)
        return code

    def _count(self, message: Arguments, code: int) -> None:
        if self._counts and self._refusals is not None:
            topic, value, key, headers = message[:4]
            self._refusals.count(topic, key, batch_bytes(key, value, headers), code)

    def _is_done(self, sent: SentMessage) -> bool:
        return sent.future is not None and bool(sent.future.is_done)

    def _error_of(self, sent: SentMessage) -> BaseException | None:
        future = sent.future
        if future is None or not future.is_done:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} did not acknowledge a message "
                f"within kafka.delivery_timeout_s={self._settings.delivery_timeout_s:g}"
            )
        error: BaseException | None = future.exception if future.failed() else None
        return error

    def _raise(self, error: BaseException) -> None:
        with broker_errors(self._settings, "a message was refused", operation="Write"):
            raise error


def _close(producer: KafkaProducer) -> None:
    try:
        producer.close(timeout=0.5)
    except KafkaError:  # its flush has failed
        force_close(producer)
