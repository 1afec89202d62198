"""Sending to Kafka without losing sight of anything sent."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError, UnknownError

from airsift.errors import BrokerError
from stream.kafka.client.connect import broker_errors, connect_producer, wait_for_partition
from stream.kafka.client.refusals import is_refusal
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

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
# What kafka-python says, by an error without a code, of messages that were in one batch with one
# that was refused.
_IN_COMPANY = "it was part of a batch which had"
# Code of a message that was not sent, because its transaction is to be undone anyway.
SPOILT = -1


class Undone(Exception):  # caught by `Transactions`, never shown
    """A transaction cannot be committed, because the broker refuses a message of it.

    Parameters
    ----------
    suspects : sequence of Sent
        Messages of which at least one was refused.
    """

    def __init__(self, suspects: Sequence[Sent]) -> None:
        super().__init__(f"{len(suspects)} messages")
        self.suspects = suspects


@dataclass(slots=True)
class Sent:
    """A message that was handed to the producer."""

    message: tuple[Any, ...]  # as the producer wants it
    future: Any
    again: bool = False
    code: int = 0  # Kafka's error, where it was refused

    @property
    def kafka_offset(self) -> int | None:
        """Where the message is, once it is flushed; None where the broker does not say."""
        offset = None if self.code else self.future.value.offset
        return None if offset is None or offset < 0 else int(offset)


class Sender:
    """A producer with a bound on what is on its way, and no failure that goes unseen.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    producer : kafka.KafkaProducer, optional
        Sends, in transactions; without one a new one is connected.
    refusals : Refusals, optional
        Is told of messages that the broker refuses, which are passed over then; without it the
        first one is an error.
    compression : str, optional
        Instead of ``kafka.compression``.
    counts : bool
        Whether what is passed over counts in `refusals`; a caller that tries again counts itself.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        producer: Any = None,
        *,
        refusals: Refusals | None = None,
        compression: str | None = None,
        counts: bool = True,
    ) -> None:
        self._settings = settings
        self._options = {} if compression is None else {"compression_type": compression}
        self._producer = producer or connect_producer(settings, **self._options)
        # A broker that takes a message for a repetition does not say where the first one is. One
        # that was killed in between may have noted its number and not the message: it is sent
        # again, and may come twice. In a transaction it cannot: that is undone as a whole.
        self._transactional = producer is not None
        self._refusals = refusals
        self._counts = counts
        self._pending: deque[Sent] = deque()
        self._suspects: list[Sent] = []  # refused together with others, so perhaps not themselves
        self._one_by_one: Any = None
        self._topics: set[str] = set()

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        while self._pending and self._pending[0].future.is_done:
            self._settle(self._pending.popleft())
        return len(self._pending) + len(self._suspects)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Sent:
        """Hand one message to the producer, which sends it within `linger_ms`.

        Returns
        -------
        Sent
            After `flush`, it says where the message is, or that it was refused.

        Raises
        ------
        BrokerError
            If the broker has gone, or without `refusals` if the message is too large.
        """
        message = (topic, value, key, headers, partition, timestamp_ms)
        if code := self._foreseen(message):
            return Sent(message, None, code=code)
        if topic not in self._topics:
            # kafka-python learns all topics when it connects, but asks again only for those it
            # had to ask for: the others it then forgets, and what waits for them never leaves.
            self._producer._sender.add_topic(topic)
            self._topics.add(topic)
        sent = Sent(message, self._hand_over(self._producer, message))
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
                    self._settle(sent)
            if self._suspects:
                suspects, self._suspects = self._suspects, []
                self._send_one_by_one(suspects)

    def forget(self) -> None:
        """Ask no more what became of what was sent."""
        self._pending.clear()
        self._suspects.clear()

    def close(self) -> None:
        """Drop the connections. What was not flushed may be lost."""
        for producer in filter(None, (self._producer, self._one_by_one)):
            _close(producer)
        self._one_by_one = None

    def _hand_over(self, producer: Any, message: tuple[Any, ...]) -> Any:
        topic, value, partition = *message[:2], message[4]
        if partition is not None:
            wait_for_partition(self._settings, producer, topic, partition)
        doing = f"{len(value or b'')} bytes cannot be sent to topic {topic}"
        with broker_errors(self._settings, doing, operation="Write"):
            return producer.send(*message)

    def _await(self, producer: Any) -> None:
        limit_s = self._settings.delivery_timeout_s
        deadline = time.monotonic() + limit_s
        with broker_errors(self._settings):
            while True:
                try:
                    producer.flush(timeout=limit_s)
                except UnknownError:
                    # What it waited for was split in two, which it does not know to wait for.
                    if time.monotonic() > deadline:
                        raise
                else:
                    return

    def _settle(self, sent: Sent) -> None:
        error = self._error_of(sent.future)
        if error is not None:
            if self._refusals is None or not _is_suspect(error):
                self._raise(error)
            self._suspects.append(sent)
            return
        if self._refusals is not None:
            self._refusals.accepted(sent.message[0])
        if sent.kafka_offset is None and not self._transactional and not sent.again:
            sent.again = True
            sent.future = self._hand_over(self._producer, sent.message)
            self._pending.append(sent)

    def _send_one_by_one(self, suspects: Sequence[Sent]) -> None:
        """Find out which messages were refused, and publish the others.

        kafka-python's producer is of no use after a refusal, and has failed what it had in hand
        for the same reason, to whatever topic it was to go.
        """
        if self._transactional:
            raise Undone(suspects)
        _close(self._producer)
        self._producer = connect_producer(self._settings, **self._options)
        self._topics.clear()
        if self._one_by_one is None:
            self._one_by_one = connect_producer(self._settings, **self._options, **_ONE_BY_ONE)
        assert self._refusals is not None
        sent_again = []
        for sent in suspects:
            sent.code = self._foreseen(sent.message)
            if sent.code:
                continue
            sent.future = self._hand_over(self._one_by_one, sent.message)
            sent_again.append(sent)
        self._await(self._one_by_one)
        for sent in sent_again:
            topic, value, key, headers = sent.message[:4]
            error = self._error_of(sent.future)
            if error is None:
                self._refusals.accepted(topic)
            elif is_refusal(error):
                sent.code = self._refusals.learn(topic, key, value, headers, error)
                self._count(sent)
            else:
                self._raise(error)

    def _foreseen(self, message: tuple[Any, ...]) -> int:
        """Return the code for which a message is passed over without being sent, else 0."""
        if self._refusals is None:
            return 0
        topic, value, key, headers = message[:4]
        code = self._refusals.foresees(topic, key, value, headers)
        if code:
            self._count(Sent(message, None, code=code))
        return code

    def _count(self, sent: Sent) -> None:
        if self._counts and self._refusals is not None:
            topic, value, key, headers = sent.message[:4]
            self._refusals.count(topic, key, batch_bytes(key, value, headers), sent.code)

    def _error_of(self, future: Any) -> BaseException | None:
        if not future.is_done:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} did not acknowledge a message "
                f"within kafka.delivery_timeout_s={self._settings.delivery_timeout_s:g}"
            )
        error: BaseException | None = future.exception if future.failed() else None
        return error

    def _raise(self, error: BaseException) -> None:
        with broker_errors(self._settings, "a message was refused", operation="Write"):
            raise error


def _is_suspect(error: BaseException) -> bool:
    """Whether a message was refused, or was in one batch with one that was."""
    return is_refusal(error) or any(_IN_COMPANY in str(text) for text in error.args)


def _close(producer: Any) -> None:
    try:
        producer.close(timeout=0.5)
    except KafkaError:  # it flushes first, and then leaves its thread running
        producer._sender.force_close()
