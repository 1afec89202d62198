"""Stations that have moved to another partition, because partitions were added to the topic.

A producer chooses a station's partition by its key and the number of partitions. The owner of the
new partition finds the station's newest record among those of other partitions, reads the messages
after it on the old partition, and continues. The owner of the old partition finds that record too,
before it would end the station as silent, and drops the station.

Reading the whole state topic takes time, so it is read only when partitions were added or a station
is silent on a partition where its key does not belong, over separate connections.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

from kafka import TopicPartition
from kafka.partitioner.default import murmur2

from airsift.errors import BrokerError
from stream.kafka.checkpoint.record import StationRecord, read_record
from stream.kafka.client.connect import broker_errors, connect_consumer
from stream.kafka.client.named_keys import with_key
from stream.kafka.client.state_topic import read_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_FRESH_S = 30.0  # how long the records read from the state topic are used
_TAIL_S = 10.0  # for reading the messages on the old partition


class MovedStations:
    """Finds a station's newest record, and its newest messages, on other partitions.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and topics.
    partitions : callable
        Returns the number of partitions of the audio topic, as last seen.
    records, messages : callable, optional
        Read the state topic from the group's committed offsets, and a partition of the audio topic
        from an offset. By default from the broker.
    now : callable
        The clock, in seconds.
    key_of : callable
        Returns the key of a station's messages; its name by default.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        partitions: Callable[[], int],
        records: Callable[[int], Iterable[ConsumerRecord]] | None = None,
        messages: Callable[[int, int], Iterable[ConsumerRecord]] | None = None,
        now: Callable[[], float] = time.monotonic,
        key_of: Callable[[str], str] = str,
    ) -> None:
        self._settings = settings
        self._key_of = key_of
        self._partitions = partitions
        self._records = records or self._read_records
        self._messages = messages or self._read_messages
        self._now = now
        self._known = 0  # number of partitions when last seen
        self._grown = False
        self._read_at: float | None = None
        self._newest: dict[str, dict[int, StationRecord]] = {}

    @property
    def grown(self) -> bool:
        """Whether partitions were added since the group began, so that stations may move."""
        count = self._partitions()
        if not self._known:  # the broker may not have answered yet
            self._known = count
        if count > self._known:
            self._known, self._grown, self._read_at = count, True, None
        return self._grown

    def begin(self, committed: Mapping[int, int | None]) -> None:
        """Note the group's committed offset of each partition, at the start.

        A partition without a commit was added since the group began if others have one.
        """
        offsets = list(committed.values())
        since = None in offsets and any(offset is not None for offset in offsets)
        self._grown = self.grown or since

    def belongs(self, station: str, partition: int) -> bool:
        """Whether Kafka's own producers send a station to this partition."""
        count = max(self._partitions(), 1)
        return bool((murmur2(self._key_of(station).encode()) & 0x7FFFFFFF) % count == partition)

    def find(self, station: str, partition: int) -> tuple[int, StationRecord] | None:
        """Return a station's newest record on other partitions, and the partition.

        None where there is none, or the broker does not answer in time.
        """
        now = self._now()
        if self._read_at is None or now - self._read_at > _FRESH_S:
            try:
                self._read_all()
            except BrokerError as error:
                log.warning("the records of moved stations cannot be read: %s", error)
                return None
            self._read_at = self._now()
        elsewhere = self._newest.get(station, {}).items()
        known = [(p, record) for p, record in elsewhere if p != partition and record.snapshot]
        if not known:
            return None
        return max(known, key=lambda item: item[1].age)

    def messages(self, station: str, partition: int, kafka_offset: int) -> list[ConsumerRecord]:
        """Return a station's messages on a partition, from an offset to the partition's end.

        Messages that cannot be read in time become a gap.
        """
        key, found = self._key_of(station).encode(), []
        try:
            for message in self._messages(partition, kafka_offset):
                if message.key == key:
                    found.append(with_key(message, station.encode()))
        except BrokerError as error:
            where = {"station": station, "partition": partition}
            log.warning(
                "its last messages on its old partition cannot be read: %s", error, extra=where
            )
        return found

    def _read_all(self) -> None:
        self._newest = {}
        for message in self._records(self._partitions()):
            record = read_record(self._settings.group, message)
            if record is None:
                continue
            known = self._newest.setdefault(record.station, {})
            before = known.get(message.partition)
            if record.snapshot is None:
                known.pop(message.partition, None)
            elif before is None or not record.is_before(before):
                known[message.partition] = record

    def _read_records(self, partitions: int) -> Iterator[ConsumerRecord]:
        since = {}
        with closing(connect_consumer(self._settings, group_id=self._settings.group)) as consumer:
            options = {"timeout_ms": round(self._settings.request_timeout_s * 1000)}
            state = self._settings.topics.state
            with broker_errors(self._settings):
                existing = consumer.partitions_for_topic(state) or set()
                for p in sorted(existing & set(range(partitions))):
                    since[p] = consumer.committed(TopicPartition(state, p), **options) or 0
        return read_on(self._settings, since, lambda: None)

    def _read_messages(self, partition: int, kafka_offset: int) -> Iterator[ConsumerRecord]:
        tp = TopicPartition(self._settings.topics.audio, partition)
        with (
            closing(connect_consumer(self._settings, auto_offset_reset="earliest")) as consumer,
            broker_errors(self._settings),
        ):
            consumer.assign([tp])
            end = consumer.end_offsets([tp])[tp]
            begin = consumer.beginning_offsets([tp])[tp]
            consumer.seek(tp, max(begin, kafka_offset))
            deadline = time.monotonic() + _TAIL_S
            while consumer.position(tp) < end:
                if time.monotonic() > deadline:
                    raise BrokerError(f"not at its end within {_TAIL_S:g} s")
                for records in consumer.poll(timeout_ms=100).values():
                    yield from records


def committed_offsets(settings: KafkaSettings) -> dict[int, int | None]:
    """Return the group's committed offset of each partition of the audio topic; None for none.

    Raises
    ------
    BrokerError
        The broker does not answer.
    """
    topic = settings.topics.audio
    with closing(connect_consumer(settings, group_id=settings.group)) as consumer:
        options = {"timeout_ms": round(settings.request_timeout_s * 1000)}
        with broker_errors(settings):
            return {
                p: consumer.committed(TopicPartition(topic, p), **options)
                for p in consumer.partitions_for_topic(topic) or ()
            }
