"""The state topic: where each station's snapshot survives the process.

One partition for each partition of the audio topic, so that a worker that takes over an audio
partition reads one partition of state. Key: ``group/station``; the newest record of a key is
the valid one, so the topic may be compacted. A group's committed offset on a state partition
is the oldest record it still needs, so a restart reads little even where nothing is compacted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.checkpoint.record import StationRecord, as_record, read_record
from stream.kafka.client.connect import (
    broker_errors,
    connect_consumer,
    connected_admin,
    ensure_topics,
    grow_topic,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stream.kafka.client.producer import Sender
    from stream.kafka.client.transactions import Transactions
    from stream.kafka.settings import KafkaSettings


class Record(NamedTuple):
    """What was saved, and where in the state topic."""

    saved: StationRecord
    kafka_offset: int


def ensure_state_topic(settings: KafkaSettings) -> None:
    """Have the topic, with at least as many partitions as the audio topic has.

    Raises
    ------
    BrokerError
        It is missing, or has fewer partitions, and this client may not change that.
    """
    audio, state = settings.topics.audio, settings.topics.state
    with connected_admin(settings) as admin, broker_errors(settings):
        [described] = admin.describe_topics([audio])
    needed = max(len(described["partitions"]), 1)
    topics = settings.topics.model_copy(update={"partitions": needed})
    ensure_topics(
        settings.model_copy(update={"topics": topics}),
        {state: ["Read", "Write"]},
        configs={"cleanup.policy": "compact"},
    )
    grow_topic(settings, state, needed)


class StateLog:
    """Writes and reads the snapshots of one consumer group.

    Parameters
    ----------
    settings : KafkaSettings
        Where, and for which group.
    sender : Sender or Transactions
        Writes the records.
    passed_over : callable
        Is called for each part of the topic that cannot be read.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        sender: Sender | Transactions,
        passed_over: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._passed_over = passed_over
        self._sender = sender
        self._topic = settings.topics.state
        self._damaged = 0

    def write(self, partition: int, saved: StationRecord) -> Any:
        """Hand a record to the sender; return its future."""
        return self._sender.send(
            self._topic, *as_record(self._settings.group, partition, saved), partition
        )

    def read(self, since: Mapping[int, int]) -> dict[int, dict[str, Record]]:
        """Return, per partition, the newest record of each station.

        Parameters
        ----------
        since : mapping of int to int
            Kafka offset from which to read each partition.
        """
        found: dict[int, dict[str, Record]] = {partition: {} for partition in since}
        for record in read_on(self._settings, since, self._passed_over):
            self._take(record, found[record.partition])
        return found

    def take_damaged(self) -> int:
        """Return how many damaged records were read since it was asked last."""
        damaged, self._damaged = self._damaged, 0
        return damaged

    def _take(self, record: Any, found: dict[str, Record]) -> None:
        saved = read_record(self._settings.group, record)
        if saved is None:
            return
        self._damaged += saved.damaged
        # A worker that was taken for dead may write an old state after its successor's.
        before = found.get(saved.station)
        if saved.snapshot is None:
            found.pop(saved.station, None)
        elif before is None or not saved.is_before(before.saved):
            found[saved.station] = Record(saved, record.offset)


def read_on(
    settings: KafkaSettings, since: Mapping[int, int], passed_over: Callable[[], None]
) -> Iterator[Any]:
    """Give the messages of the state topic from some offsets to its present end.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, topic and limits.
    since : mapping of int to int
        Kafka offset from which to read each partition.
    passed_over : callable
        Is called for each part that cannot be read.

    Raises
    ------
    BrokerError
        The end was not reached within `request_timeout_s`.
    """
    tps = {TopicPartition(settings.topics.state, p): at for p, at in since.items()}
    # A snapshot that was undone is ahead of the events that count.
    consumer = connect_consumer(settings, passed_over, isolation_level="read_committed")
    try:
        with broker_errors(settings):
            consumer.assign(list(tps))
            ends = _ends(settings, consumer, list(tps))
            begins = consumer.beginning_offsets(list(tps))
            for tp, at in tps.items():
                # Beyond the end of a topic that was made anew all of it is new.
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
                    # The embedded broker says of the end where its last batch begins, and the
                    # rest of that may be a station's only record; an answer with messages is right.
                    if tp not in goals and (known := consumer.highwater(tp)) is not None:
                        goals[tp] = max(end, known)
    finally:
        consumer.close()


def _ends(settings: KafkaSettings, consumer: Any, tps: list[TopicPartition]) -> Any:
    if not settings.exactly_once:
        return consumer.end_offsets(tps)
    # Behind a transaction still open too: what its owner commits is what we go on from.
    everything = connect_consumer(settings, isolation_level="read_uncommitted")
    try:
        return everything.end_offsets(tps)
    finally:
        everything.close()
