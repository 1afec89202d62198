"""The records of stations: continued from, written, and withdrawn; and which stations are idle."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from stream.kafka.checkpoint.record import StationRecord
from stream.kafka.codec.frame_stream import NEW_STREAM
from stream.kafka.codec.message import ResumePoint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from stream.kafka.checkpoint.partition_state import (
        AssignedPartitions,
        PartitionState,
        StationState,
    )
    from stream.kafka.codec.message import ChunkDecoder
    from stream.snapshot import StoredSnapshot

log = logging.getLogger(__name__)

# The record of a silent station is rewritten after this time. Otherwise the state topic would have
# to be read from far back, and its silence would not be known.
_REFRESH_S = 600.0
_CHECK_SKIPS_S = 5.0  # of reading a partition, until its end is known
_SEARCH_S = 1.0  # between two searches for idle stations
# If the loop stalls, at most this much of an iteration counts as silence: another worker may own
# the stations by then.
_MAX_ITERATION_S = 2.0


class RecordCache:
    """The newest record of each station.

    A station that is silent for `idle_s` is at its end. Its record is written with that silence
    before the station counts as idle. So the next owner of the record ends the stream at the same
    sample, even if audio has arrived meanwhile.

    Parameters
    ----------
    partitions : dict of int to PartitionState
        The assigned partitions.
    decoder : ChunkDecoder
        Continues from records, and knows the timelines that are stored in them.
    rate : int > 0
        Samples per second of the snapshots' ``oldest``.
    idle_s : float > 0
        A station that was silent for this long, in this process and its predecessors, is idle.
    forget_s : float > idle_s
        After this long, its record is withdrawn.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        partitions: AssignedPartitions,
        decoder: ChunkDecoder,
        rate: int,
        idle_s: float,
        forget_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._decoder = decoder
        self._rate = rate
        self._idle_s = idle_s
        self._forget_s = forget_s
        self._now = now
        self._ticked = now()
        self._next_search = 0.0

    def load(self, partition: PartitionState, record: StationRecord) -> StationState:
        """Note the stored record of a station."""
        state = self._partitions.add_station(partition, record.station)
        state.record, state.written_s = record, partition.read_s
        state.received_s = partition.read_s - record.silent_s
        return state

    def resume(self, partition: PartitionState, record: StationRecord) -> bool:
        """Continue a station from a record; return False if it is further on another partition.

        A station that has moved has a record on its old partition for a while.
        """
        station = record.station
        others = [s for s in self._partitions.states(station) if s.partition != partition.number]
        state = self.load(partition, record)
        state.skip_to, state.stream = record.kafka_offset, record.count
        if not all(other.record and other.record.is_before(record) for other in others):
            return False
        at = record.kafka_offset, record.start, record.rate
        self._decoder.resume(station, ResumePoint(*at, record.timeline, record.entry))
        if record.count.over:
            self._decoder.end_stream(station, record.count.first / self._rate)
        return True

    @staticmethod
    def rebase(record: StationRecord, topic_id: str, kafka_offset: int) -> StationRecord:
        """Return a record with offsets of the topic as it is now.

        If the topic was recreated, nothing before `kafka_offset` has been read.
        """
        if record.is_of(topic_id):
            return record
        at = kafka_offset
        return replace(record, kafka_offset=at, read_to=at, topic_id=topic_id, entry=NEW_STREAM)

    def check_skips(self, number: int) -> int:
        """Drop records of messages beyond the end of a partition; return how many.

        The topic may have been recreated.
        """
        partition = self._partitions.get(number)
        if partition is None or partition.is_checked or partition.read_s < _CHECK_SKIPS_S:
            return 0
        partition.is_checked, dropped = True, 0
        for state in partition.stations.values():
            if state.skip_to <= partition.next_offset:
                continue
            log.warning(
                "its record names a message that is not there: ignored",
                extra={
                    "station": state.station,
                    "partition": number,
                    "kafka_offset": state.skip_to,
                },
            )
            state.skip_to, state.record, dropped = 0, None, dropped + 1
        return dropped

    def tick(self, caught_up: Collection[int]) -> None:
        """Note that an iteration of the loop has passed.

        Time counts only for partitions that are caught up, from a broker that answers. On the
        others, audio may only be late.
        """
        before, self._ticked = self._ticked, self._now()
        passed = min(self._ticked - before, _MAX_ITERATION_S)
        for number in caught_up:
            if number in self._partitions:
                self._partitions[number].read_s += passed

    def poll(self) -> tuple[list[StationState], list[StationState]]:
        """Return the stations that are idle and not ended, and those to forget.

        They are searched for about once a second.
        """
        if self._ticked < self._next_search:
            return [], []
        self._next_search = self._ticked + _SEARCH_S
        idle, expired = [], []
        for state, record in self._stored():
            if not record.count.over and self.is_idle(state):
                idle.append(state)
            if self._silent_s(state) >= self._forget_s:
                expired.append(state)
        return idle, expired

    def is_idle(self, state: StationState) -> bool:
        """Return whether the record of a station states that it was silent for too long."""
        return state.record is not None and state.record.silent_s >= self._idle_s

    def ends_before(self, state: StationState, kafka_offset: int) -> bool:
        """Return whether a station was idle before a message of it arrived."""
        record = state.record
        return record is not None and self.is_idle(state) and kafka_offset >= record.read_to

    def received(self, state: StationState, kafka_offset: int) -> None:
        """Note that a station is not silent, unless the message was already read before."""
        record = state.record
        if record is not None and kafka_offset >= record.read_to:
            state.received_s = self._partitions[state.partition].read_s
            if record.silent_s:
                state.record = replace(record, silent_s=0.0)

    def store(self, state: StationState, record: StationRecord) -> StationRecord:
        """Note a record that is about to be written; return it with the station's silence."""
        before, at = state.record, self._partitions[state.partition].read_s
        if before is None:
            state.received_s = at
        else:
            # Messages that are read again do not count: an idle station stays idle.
            silent_s = self._silent_s(state) if record.count.over else before.silent_s
            read_to = max(record.read_to, before.read_to)
            record = replace(record, silent_s=silent_s, read_to=read_to)
        state.record, state.written_s = record, at
        return record

    def expire(self) -> None:
        """Make `refresh` return all records."""
        for state, _ in self._stored():
            state.written_s = -math.inf

    def refresh(self) -> list[tuple[int, StationRecord]]:
        """Return the records of silent stations that must be rewritten."""
        out = []
        for state, record in self._stored():
            silent_s, at = self._silent_s(state), self._partitions[state.partition].read_s
            # Until a station is ended, its silence is stored more often.
            after_s = _REFRESH_S if record.count.over else min(_REFRESH_S, self._idle_s / 5)
            becomes_idle = record.silent_s < self._idle_s <= silent_s
            if (becomes_idle and not record.count.over) or at - state.written_s > after_s:
                state.written_s = at
                state.record = replace(record, silent_s=silent_s)
                out.append((state.partition, state.record))
        return out

    def checkpoint(
        self, snapshots: Mapping[str, StoredSnapshot], topic_id: str
    ) -> list[tuple[int, StationRecord]]:
        """Drop the messages that the snapshots do not need; return the records to write."""
        written = [
            (state.partition, self.store(state, record))
            for station, snapshot in snapshots.items()
            for state, record in self._new_records(station, snapshot, topic_id)
        ]
        withdrawn = []
        for number, partition in sorted(self._partitions.items()):
            partition.withdrawn -= {record.station for p, record in written if p == number}
            withdrawn += [(number, StationRecord.tombstone(s)) for s in sorted(partition.withdrawn)]
            partition.withdrawn.clear()
        return written + self.refresh() + withdrawn

    def _new_records(
        self, station: str, snapshot: StoredSnapshot, topic_id: str
    ) -> Iterator[tuple[StationState, StationRecord]]:
        """Yield a station's record for each partition that it is on."""
        for state in self._partitions.states(station):
            partition, count = self._partitions[state.partition], state.stream
            first = state.buffer.trim(snapshot.oldest, self._rate)
            if count is None:
                continue
            if count.over:  # its messages are not needed again
                timeline = self._decoder.timeline_state(station)
                frame = partition.first_frames.get(station)
                at = partition.next_offset if frame is None else frame.kafka_offset
                first = ResumePoint(at, timeline.end, timeline.rate, timeline)
            # Until then, the record on its old partition tells what a restart must read.
            if first is None or first.kafka_offset <= state.adopted_at:
                continue
            state.adopted_at = -1
            yield state, StationRecord(
                station, first.kafka_offset, first.start, first.rate, snapshot, first.timeline,
                read_to=partition.next_offset, count=count, topic_id=topic_id, entry=first.entry,
            )  # fmt: skip

    def _stored(self) -> Iterator[tuple[StationState, StationRecord]]:
        for partition in self._partitions.values():
            for state in partition.stations.values():
                if state.record is not None:
                    yield state, state.record

    def _silent_s(self, state: StationState) -> float:
        return self._partitions[state.partition].read_s - state.received_s


class RefusedRecords:
    """Records that the state topic has refused, and the partitions that must not be committed.

    A record older than the committed offset would be restored without the audio that follows it.
    So if a new record is refused, the old one is withdrawn, and the station begins anew after a
    restart. If the topic refuses that too, offsets stay where the old record needs them.
    """

    def __init__(self) -> None:
        self._stations: dict[tuple[int, str], None] = {}

    def note(self, partition: int, record: StationRecord, *, refused: bool) -> None:
        """Process the broker's answer to a record."""
        key = partition, record.station
        if not refused:
            self._stations.pop(key, None)
            return
        self._stations[key] = None
        if record.snapshot is not None:
            where = {"station": record.station, "partition": partition}
            log.warning("its snapshot is refused: after a restart it begins anew", extra=where)

    def withdrawals(self) -> list[tuple[int, StationRecord]]:
        """Return the tombstones to write instead of the refused records."""
        return [(p, StationRecord.tombstone(station)) for p, station in self._stations]

    @property
    def blocked(self) -> set[int]:
        """Partitions that must not be committed."""
        return {partition for partition, _ in self._stations}

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions."""
        self._stations = dict.fromkeys(key for key in self._stations if key[0] not in partitions)

    def __bool__(self) -> bool:
        return bool(self._stations)
