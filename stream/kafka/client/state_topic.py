"""The state topic, which stores each station's snapshot.

It has one partition for each partition of the audio topic, so a worker that takes over an audio
partition reads one partition of state. Key: ``group/station``; the newest record of a key is valid,
so the topic may be compacted. A group's committed offset on a state partition is the oldest record
that it needs, so a restart reads little even without compaction.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.checkpoint.record import StationRecord, as_record, read_record
from stream.kafka.client.connect import (
    broker_errors,
    connect_admin,
    connect_consumer,
    ensure_topics,
    grow_topic,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kafka import KafkaConsumer

    from stream.kafka.client.producer import Producer, SentMessage
    from stream.kafka.client.transactions import Transactions
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings


class StoredRecord(NamedTuple):
    """A station's record, and its offset in the state topic."""

    record: StationRecord
    kafka_offset: int


def ensure_state_topic(settings: KafkaSettings) -> None:
    """Create the topic, or add partitions until it has as many as the audio topic.

    Raises
    ------
    BrokerError
        The topic is missing or has fewer partitions, and this client may not change that.
    """
    audio, state = settings.topics.audio, settings.topics.state
    with closing(connect_admin(settings)) as admin, broker_errors(settings):
        [described] = admin.describe_topics([audio])
    needed = max(len(described["partitions"]), 1)
    topics = settings.topics.model_copy(update={"partitions": needed})
    ensure_topics(
        settings.model_copy(update={"topics": topics}),
        {state: ["Read", "Write"]},
        configs={"cleanup.policy": "compact"},
    )
    grow_topic(settings, state, needed)


class StateTopic:
    """Writes and reads the snapshots of one consumer group.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, topic and group.
    producer : Producer or Transactions
        Sends the records.
    on_unreadable : callable
        Called for each part of the topic that cannot be read.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        producer: Producer | Transactions,
        on_unreadable: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._on_unreadable = on_unreadable
        self._producer = producer
        self._topic = settings.topics.state
        self._damaged = 0

    def write(self, partition: int, record: StationRecord) -> SentMessage:
        """Give a record to the producer."""
        return self._producer.send(
            self._topic, *as_record(self._settings.group, partition, record), partition
        )

    def read(self, since: Mapping[int, int]) -> dict[int, dict[str, StoredRecord]]:
        """Return, per partition, the newest record of each station.

        Parameters
        ----------
        since : mapping of int to int
            Kafka offset from which to read each partition.
        """
        found: dict[int, dict[str, StoredRecord]] = {partition: {} for partition in since}
        for message in read_on(self._settings, since, self._on_unreadable):
            self._add(message, found[message.partition])
        return found

    def pop_damaged(self) -> int:
        """Return how many damaged records were read since the last call."""
        damaged, self._damaged = self._damaged, 0
        return damaged

    def _add(self, message: ConsumerRecord, found: dict[str, StoredRecord]) -> None:
        record = read_record(self._settings.group, message)
        if record is None:
            return
        self._damaged += record.damaged
        # A worker that was wrongly considered dead may write an old state after its successor.
        before = found.get(record.station)
        if record.snapshot is None:
            found.pop(record.station, None)
        elif before is None or not record.is_before(before.record):
            found[record.station] = StoredRecord(record, message.offset)


def read_on(
    settings: KafkaSettings, since: Mapping[int, int], on_unreadable: Callable[[], None]
) -> Iterator[ConsumerRecord]:
    """Yield the messages of the state topic from some offsets to its present end.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, topic and limits.
    since : mapping of int to int
        Kafka offset from which to read each partition.
    on_unreadable : callable
        Called for each part that cannot be read.

    Raises
    ------
    BrokerError
        The end was not reached within `request_timeout_s`.
    """
    tps = {TopicPartition(settings.topics.state, p): at for p, at in since.items()}
    # A snapshot of an aborted transaction is ahead of the published events.
    with (
        closing(
            connect_consumer(settings, on_unreadable, isolation_level="read_committed")
        ) as consumer,
        broker_errors(settings),
    ):
        consumer.assign(list(tps))
        ends = _ends(settings, consumer, list(tps))
        begins = consumer.beginning_offsets(list(tps))
        for tp, at in tps.items():
            # An offset beyond the end belongs to a topic that was recreated since: read all.
            consumer.seek(tp, max(at if at <= ends[tp] else 0, begins[tp]))
        limit_s = settings.request_timeout_s + settings.undecided_s
        deadline = time.monotonic() + limit_s
        goals: dict[TopicPartition, int] = {}
        while any(tp not in goals or consumer.position(tp) < goals[tp] for tp in tps):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"topic {settings.topics.state} cannot be read to its end within "
                    f"{limit_s:g} s; look at the broker, or raise kafka.request_timeout_s"
                )
            for records in consumer.poll(timeout_ms=50).values():
                yield from records
            for tp, end in ends.items():
                # The embedded broker reports the start of its last batch as the end, and that
                # batch may hold a station's only record. Its fetch responses are right.
                if tp not in goals and (known := consumer.highwater(tp)) is not None:
                    goals[tp] = max(end, known)


def _ends(
    settings: KafkaSettings, consumer: KafkaConsumer, tps: list[TopicPartition]
) -> dict[TopicPartition, int]:
    ends: dict[TopicPartition, int]
    if not settings.exactly_once:
        ends = consumer.end_offsets(tps)
        return ends
    # The end includes open transactions: their owner may still commit them.
    with closing(connect_consumer(settings, isolation_level="read_uncommitted")) as everything:
        ends = everything.end_offsets(tps)
    return ends
