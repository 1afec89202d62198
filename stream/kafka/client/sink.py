"""Kafka as a sink: each kind of event to its topic, keyed by station."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import Backpressure
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Sender
from stream.kafka.client.refusals import Refusals
from stream.kafka.client.topic_watch import TopicWatch
from stream.kafka.codec.message import Message
from stream.kafka.notices import NOTICES
from stream.sinks.base import Sink

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from stream.events import Event
    from stream.kafka.client.transactions import Transactions
    from stream.kafka.settings import KafkaSettings


def as_message(event: Event) -> Message:
    """Return an event as a message of its topic."""
    schema = f"airsift.{event.kind}/1".encode()
    headers = [("schema", schema), ("content-type", b"application/json")]
    return Message(event.station.encode(), event.to_json().encode(), headers)


class KafkaSink(Sink):
    """Publishes events: the value is the event's JSON, the header ``schema`` its schema.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics. Topics that are missing are created.
    transactions : Transactions, optional
        The source's, with `exactly_once`; the source commits them, the caller closes them.

    Attributes
    ----------
    refused : Counter
        Events that the broker has refused, by topic; they are passed over.

    Raises
    ------
    BrokerError
        No broker answers, or a topic is missing and cannot be created.
    """

    def __init__(self, settings: KafkaSettings, transactions: Transactions | None = None) -> None:
        self._topics = settings.topics.events
        self._most = settings.max_pending_events
        self._closed = transactions is not None
        ensure_topics(settings, {name: ["Write"] for name in self._topics.values()})
        refusals = transactions.refusals if transactions else Refusals(settings)
        self.refused: Counter[str] = refusals.counts
        self._sender = transactions or Sender(settings, refusals=refusals)
        self._watch = TopicWatch(settings, self._topics.values())
        self._watch.start()

    def write(self, events: Sequence[Event]) -> None:
        """Hand events to the producer.

        Raises
        ------
        Backpressure
            More than `max_pending_events` wait for the broker; nothing was taken.
        BrokerError
            The broker has gone.
        """
        pending = self._sender.pending
        if pending and pending + len(events) > self._most:
            raise Backpressure(
                f"{pending} events wait for the Kafka broker, "
                f"kafka.max_pending_events={self._most}",
                retry_after_s=0.1,
            )
        for event in events:
            self._sender.send(self._topics[event.kind], *as_message(event))

    @property
    def queued(self) -> int:
        """Events that the broker has not acknowledged yet."""
        return self._sender.pending

    @property
    def trouble(self) -> str:
        """Why events cannot be published, "" where they can. Safe in any thread."""
        return self._watch.trouble or NOTICES.trouble

    def flush(self) -> None:
        """Wait until the broker has every event that it does not refuse.

        Raises
        ------
        BrokerError
            It did not answer within `delivery_timeout_s`.
        """
        self._sender.flush()

    def close(self) -> None:
        """Flush and disconnect."""
        self._watch.stop()
        if not self._closed:
            self._closed = True
            try:
                self._sender.flush()
            finally:
                self._sender.close()
