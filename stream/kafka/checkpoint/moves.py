"""Stations that move to another partition, which they do when partitions are added to the topic.

A producer's client chooses the partition by the station's name and the number of partitions. So
after the topic has grown, a station's messages may go to a partition whose owner has never read
it, while its record and its last messages are on the old one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from stream.kafka.codec.frame_stream import NEW_STREAM
from stream.kafka.records.consumer_record import with_offset_of

if TYPE_CHECKING:
    from stream.kafka.checkpoint.partition_state import (
        AssignedPartitions,
        PartitionState,
        StationState,
    )
    from stream.kafka.checkpoint.record import StationRecord
    from stream.kafka.checkpoint.record_cache import RecordCache
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.snapshot import StoredSnapshot

log = logging.getLogger(__name__)


class MovedStations(Protocol):
    """Finds stations on the partitions that they were on before the topic grew."""

    @property
    def grown(self) -> bool:
        """Whether partitions were added to the topic, so that stations may have moved."""

    def belongs(self, station: str, partition: int) -> bool:
        """Return whether the station's messages go to this partition now."""

    def find(self, station: str, partition: int) -> tuple[int, StationRecord] | None:
        """Return another partition with a record of the station, and the record."""

    def messages(self, station: str, partition: int, kafka_offset: int) -> list[ConsumerRecord]:
        """Return the station's messages on a partition, from an offset on."""


class Tail(NamedTuple):
    """The messages of a station that precede the first one on its new partition.

    Parameters
    ----------
    partition : PartitionState
        Where they count.
    messages : list of ConsumerRecord
        In order; they are read before any other message of the station.
    """

    partition: PartitionState
    messages: list[ConsumerRecord]


class Moves:
    """Continues stations that have moved to a partition of ours, or from one.

    Parameters
    ----------
    partitions : AssignedPartitions
        Ours.
    records : RecordCache
        Resumes a station from the record of its old partition.
    moved : MovedStations, optional
        Finds what is on partitions of others; without it, every station stays where it is.
    """

    def __init__(
        self, partitions: AssignedPartitions, records: RecordCache, moved: MovedStations | None
    ) -> None:
        self._partitions = partitions
        self._records = records
        self._moved = moved
        self._resumed: dict[str, StoredSnapshot] = {}

    def take_over(
        self, message: ConsumerRecord, partition: PartitionState, station: str, topic_id: str
    ) -> Tail | None:
        """Continue a station with its first message on a partition; None for a new station."""
        if self._moved is None or not self._moved.grown:
            return None
        if states := self._partitions.states(station):
            tail = self._from_ours(self._moved, states[0])
            number = states[0].partition
        elif found := self._moved.find(station, partition.number):
            number, record = found
            record = self._records.rebase(record, topic_id, 0)
            tail = self._from_another(self._moved, number, record, message, partition)
        else:
            return None
        log.info(
            "has moved here from partition %d, and goes on",
            number,
            extra={"station": station, "partition": partition.number},
        )
        return tail

    def _from_ours(self, moved: MovedStations, state: StationState) -> Tail:
        """Return what we have not read yet of a station's old partition, which is ours too."""
        old = self._partitions[state.partition]
        messages = moved.messages(state.station, old.number, old.next_offset)
        if messages:
            state.skip_to = messages[-1].offset + 1
        return Tail(old, messages)

    def _from_another(
        self,
        moved: MovedStations,
        number: int,
        record: StationRecord,
        message: ConsumerRecord,
        partition: PartitionState,
    ) -> Tail:
        """Continue from the record on a partition of another worker; return what follows it."""
        messages = moved.messages(record.station, number, record.kafka_offset)
        if not messages or messages[0].offset != record.kafka_offset:
            record = replace(record, entry=NEW_STREAM)  # it describes a message that is gone
        at = message.offset
        self._records.resume(partition, replace(record, kafka_offset=at, read_to=at))
        partition.stations[record.station].adopted_at = at
        if record.snapshot is not None:
            self._resumed[record.station] = record.snapshot
        # A restart must read all of this again. Messages of the old partition have no offset in
        # this one, and count as the first message here.
        return Tail(partition, [with_offset_of(each, message) for each in messages])

    def pop_resumed(self) -> dict[str, StoredSnapshot]:
        """Return the snapshots of stations that were taken over since the last call."""
        resumed, self._resumed = self._resumed, {}
        return resumed

    def has_moved_away(self, state: StationState) -> bool:
        """Return whether a station that is silent here goes on on another partition."""
        if len(self._partitions.states(state.station)) > 1:
            return True
        moved = self._moved
        if moved is None or not (moved.grown or not moved.belongs(state.station, state.partition)):
            return False
        found = moved.find(state.station, state.partition)
        return found is not None and state.record is not None and state.record.is_before(found[1])
