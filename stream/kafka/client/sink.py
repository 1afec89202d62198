"""Kafka as a sink: each kind of event goes to its topic, with the station as key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import Backpressure
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.refusals import Refusals
from stream.kafka.client.topic_watch import TopicWatch
from stream.kafka.codec.event_message import no_trace
from stream.kafka.health import BROKER_DELAYS
from stream.kafka.schema_registry import open_format
from stream.sinks.base import Sink

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Sequence

    from stream.events import Event
    from stream.kafka.client.transactions import Transactions
    from stream.kafka.codec.event_message import TraceOf
    from stream.kafka.settings import KafkaSettings


class KafkaSink(Sink):
    """Publishes events, each as a message of its topic (`EventFormat`).

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics. Topics that are missing are created.
    transactions : Transactions, optional
        The source's, with `exactly_once`; the source commits them, the caller closes them.
    kinds : collection of str, optional
        Kinds of events that will be published. Topics and rights of other kinds are not needed.
    trace_of : callable
        Gives the trace of a station's events.

    Attributes
    ----------
    refused : Counter
        Events that the broker has refused, by topic; they are skipped.

    Raises
    ------
    BrokerError
        No broker answers, a topic is missing and cannot be created, or the schema registry does not
        know the events.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        transactions: Transactions | None = None,
        kinds: Collection[str] | None = None,
        *,
        trace_of: TraceOf = no_trace,
    ) -> None:
        self._format = open_format(settings, kinds, trace_of)
        self._topics = settings.topics.of_events(kinds)
        self._max_pending = settings.max_pending_events
        self._closed = transactions is not None
        ensure_topics(settings, {name: ["Write"] for name in self._topics.values()})
        refusals = transactions.refusals if transactions else Refusals(settings)
        self.refused: Counter[str] = refusals.counts
        self._producer = transactions or Producer(settings, refusals=refusals)
        self._watch = TopicWatch(settings, self._topics.values())
        self._watch.start()

    def write(self, events: Sequence[Event]) -> None:
        """Give events to the producer.

        Raises
        ------
        Backpressure
            More than `max_pending_events` wait for the broker; none of these was accepted.
        BrokerError
            The broker does not answer.
        """
        pending = self._producer.pending
        if pending and pending + len(events) > self._max_pending:
            raise Backpressure(
                f"{pending} events wait for the Kafka broker, "
                f"kafka.max_pending_events={self._max_pending}",
                retry_after_s=0.1,
            )
        with self._producer.batched():
            for event in events:
                self._producer.send(self._topics[event.kind], *self._format.encode(event))

    @property
    def queued(self) -> int:
        """Events that the broker has not acknowledged yet."""
        return self._producer.pending

    @property
    def broker_error(self) -> str:
        """Why events cannot be published, "" where they can. Safe in any thread."""
        return self._watch.broker_error or BROKER_DELAYS.broker_error

    def flush(self) -> None:
        """Wait until the broker has every event that it does not refuse.

        Raises
        ------
        BrokerError
            It did not answer within `delivery_timeout_s`.
        """
        self._producer.flush()

    def close(self) -> None:
        """Flush and disconnect."""
        self._watch.stop()
        if not self._closed:
            self._closed = True
            try:
                self._producer.flush()
            finally:
                self._producer.close()
