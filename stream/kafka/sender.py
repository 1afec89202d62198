"""Sending to Kafka without losing sight of anything sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError

from airsift.errors import BrokerError
from stream.kafka.client import broker_errors, connect_producer

if TYPE_CHECKING:
    from stream.kafka.headers import Headers
    from stream.kafka.settings import KafkaSettings


@dataclass(slots=True)
class Sent:
    """A message that was handed to the producer."""

    message: tuple[Any, ...]  # as the producer wants it
    future: Any
    again: bool = False

    @property
    def value(self) -> Any:
        """What the broker has said of it, once it is flushed: its ``offset`` above all."""
        return self.future.value


class Sender:
    """A producer with a bound on what is on its way, and no failure that goes unseen.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    producer : kafka.KafkaProducer, optional
        Sends, in transactions; without one a new one is connected.
    """

    def __init__(self, settings: KafkaSettings, producer: Any = None) -> None:
        self._settings = settings
        self._producer = producer or connect_producer(settings)
        # A broker that takes a message for a repetition does not say where the first one is. One
        # that was killed in between may have noted its number and not the message: it is sent
        # again, and may come twice. In a transaction it cannot: that is undone as a whole.
        self._doubts = producer is None
        self._pending: deque[Sent] = deque()
        self._topics: set[str] = set()

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        while self._pending and self._pending[0].future.is_done:
            self._settle(self._pending.popleft())
        return len(self._pending)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Sent:
        """Hand one message to the producer, which sends it within `linger_ms`.

        Returns
        -------
        Sent
            After `flush`, its ``value.offset`` is the message's kafka_offset.

        Raises
        ------
        BrokerError
            If the message is too large, or the broker has gone.
        """
        if topic not in self._topics:
            # kafka-python learns all topics when it connects, but asks again only for those it
            # had to ask for: the others it then forgets, and what waits for them never leaves.
            self._producer._sender.add_topic(topic)
            self._topics.add(topic)
        message = (topic, value, key, headers, partition)
        sent = Sent(message, self._hand_over(*message))
        self._pending.append(sent)
        return sent

    def flush(self) -> None:
        """Wait until the broker has everything.

        Raises
        ------
        BrokerError
            If any message since the last flush was refused or not acknowledged in
            `delivery_timeout_s`.
        """
        while self._pending:
            with broker_errors(self._settings):
                self._producer.flush(timeout=self._settings.delivery_timeout_s)
            flushed = list(self._pending)
            self._pending.clear()
            for sent in flushed:
                self._settle(sent)

    def forget(self) -> None:
        """Ask no more what became of what was sent."""
        self._pending.clear()

    def _hand_over(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, partition: Any
    ) -> Any:
        size = len(value or b"")
        with broker_errors(
            self._settings, f"{size} bytes cannot be sent to topic {topic}", operation="Write"
        ):
            return self._producer.send(topic, value, key, headers, partition)

    def _settle(self, sent: Sent) -> None:
        self._check(sent.future)
        if sent.value.offset < 0 and self._doubts and not sent.again:
            sent.again = True
            sent.future = self._hand_over(*sent.message)
            self._pending.append(sent)

    def _check(self, future: Any) -> None:
        if not future.is_done:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} did not acknowledge a message "
                f"within kafka.delivery_timeout_s={self._settings.delivery_timeout_s:g}"
            )
        if future.failed():
            with broker_errors(self._settings, "a message was refused", operation="Write"):
                raise future.exception

    def close(self) -> None:
        """Drop the connection. What was not flushed may be lost."""
        try:
            self._producer.close(timeout=0.5)
        except KafkaError:  # it flushes first, and then leaves its thread running
            self._producer._sender.force_close()
