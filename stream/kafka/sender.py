"""Sending to Kafka without losing sight of anything sent."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError

from airsift.errors import BrokerError
from stream.kafka.client import broker_errors, connect_producer

if TYPE_CHECKING:
    from stream.kafka.headers import Headers
    from stream.kafka.settings import KafkaSettings


class Sender:
    """A producer with a bound on what is on its way, and no failure that goes unseen.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    producer : kafka.KafkaProducer, optional
        Sends; without one a new one is connected.
    """

    def __init__(self, settings: KafkaSettings, producer: Any = None) -> None:
        self._settings = settings
        self._producer = producer or connect_producer(settings)
        self._pending: deque[Any] = deque()
        self._topics: set[str] = set()

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        while self._pending and self._pending[0].is_done:
            self._check(self._pending.popleft())
        return len(self._pending)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Any:
        """Hand one message to the producer, which sends it within `linger_ms`.

        Returns
        -------
        kafka.future.Future
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
        size = len(value or b"")
        with broker_errors(self._settings, f"{size} bytes cannot be sent to topic {topic}"):
            future = self._producer.send(topic, value, key, headers, partition)
        self._pending.append(future)
        return future

    def flush(self) -> None:
        """Wait until the broker has everything.

        Raises
        ------
        BrokerError
            If any message since the last flush was refused or not acknowledged in
            `delivery_timeout_s`.
        """
        if not self._pending:
            return
        with broker_errors(self._settings):
            self._producer.flush(timeout=self._settings.delivery_timeout_s)
        failures = deque(self._pending)
        self._pending.clear()
        for future in failures:
            self._check(future)

    def forget(self) -> None:
        """Ask no more what became of what was sent."""
        self._pending.clear()

    def _check(self, future: Any) -> None:
        if not future.is_done:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} did not acknowledge a message "
                f"within kafka.delivery_timeout_s={self._settings.delivery_timeout_s:g}"
            )
        if future.failed():
            with broker_errors(self._settings, "a message was refused"):
                raise future.exception

    def close(self) -> None:
        """Drop the connection. What was not flushed may be lost."""
        try:
            self._producer.close(timeout=0.5)
        except KafkaError:  # it flushes first, and then leaves its thread running
            self._producer._sender.force_close()
