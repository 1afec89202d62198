"""Reads the messages of the audio topic's partitions into chunks, for either client library.

Both drivers (`stream.kafka.client.source`, `stream.kafka.faust.worker`) pass each message and the
records of a partition's last owner. The reader owns the decoders, skips messages that were read
before, and knows what a restart must read again.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import AirsiftError, DecodeError
from stream.audio import AudioChunk, rescale
from stream.kafka.checkpoint.moves import Moves
from stream.kafka.checkpoint.partition_state import (
    AssignedPartitions,
    BufferedMessage,
    FirstFrame,
    MessageBuffer,
    PartitionState,
    PendingMessage,
)
from stream.kafka.checkpoint.record import StationRecord, StreamCount
from stream.kafka.checkpoint.record_cache import RecordCache
from stream.kafka.codec.headers import read_end
from stream.kafka.codec.message import ChunkDecoder
from stream.kafka.codec.timeline import Verdict
from stream.kafka.records.consumer_record import ConsumerRecord, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Set

    from stream.audio import Ending
    from stream.kafka.checkpoint.moves import MovedStations
    from stream.kafka.codec.headers import StreamEnd
    from stream.kafka.codec.message import DecodedMessage
    from stream.kafka.settings import KafkaSettings
    from stream.snapshot import StoredSnapshot

log = logging.getLogger(__name__)

_ENDED = "the stream had ended"  # why audio is missing before a stream that follows an end
_MAX_STARTING = 256  # names with only a part of a first frame; more are invented
_MAX_FIRST_FRAMES = 256
_MAX_FIRST_FRAME_S = 10.0  # an incomplete first frame blocks commits no longer than this
MAX_PENDING_BYTES = 64 * 1024 * 1024  # of all pending messages, with their samples
_TOO_MANY_PENDING = (
    f"its count or clock has jumped, and messages of more than {MAX_PENDING_BYTES} bytes already "
    "wait for the next ones of their stations to confirm such jumps; look at the producers' clocks"
)


class PartitionReader:
    """Decodes the messages of the assigned partitions.

    Parameters
    ----------
    settings : KafkaSettings
        Limits, and the times after which a silent station is ended and forgotten.
    rate : int > 0
        Samples per second of the snapshots' ``oldest``.
    refuse : callable
        Receives each message that is not processed, and the reason in one line.
    now : callable
        The clock, in seconds.
    moved : MovedStations, optional
        Finds records of a station on other partitions.

    Attributes
    ----------
    counts : Counter
        ``messages``, ``bytes``, ``dead_letters``, ``unreadable`` (batches and records),
        ``repeats``, ``jumps``, ``ends`` (of streams) and ``damaged_records`` so far.
    topic_id : str
        Id of the audio topic, see `StationRecord`; "" if it is not known.

    Notes
    -----
    A name uses memory only after one of its messages has decoded to samples, and at most
    ``kafka.max_stations`` names do. Each station has at most one pending message, whose jump of
    count or clock the next message confirms or refutes (`stream.kafka.codec.timeline`).
    """

    def __init__(
        self,
        settings: KafkaSettings,
        rate: int,
        refuse: Callable[[ConsumerRecord, str], None],
        now: Callable[[], float] = time.monotonic,
        *,
        moved: MovedStations | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.topic_id = ""
        self._rate = rate
        self._refuse = refuse
        self._now = now
        self._idle_s = settings.idle_s
        self._max_stations = settings.max_stations
        self._partitions = AssignedPartitions()
        # By station and not by partition: a station that moves keeps its decoder.
        self._decoder = ChunkDecoder(settings.wire)
        self._records = RecordCache(
            self._partitions, self._decoder, rate, settings.idle_s, settings.forget_s, now
        )
        # Partition and name; the oldest first. They are no stations yet.
        self._starting: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._moves = Moves(self._partitions, self._records, moved)

    @property
    def partitions(self) -> Set[int]:
        """The assigned partitions, as a view that changes with them."""
        return self._partitions.keys()

    def next_offset(self, partition: int) -> int:
        """Return the offset after the last message read."""
        return self._partitions[partition].next_offset

    def commit_offset(self, partition: int) -> int:
        """Return the first offset that a restart must read. It never decreases."""
        return self._partitions[partition].commit_offset()

    def is_caught_up(self, partition: int, end: int | None) -> bool:
        """Return whether a partition that ends at `end` is read as fast as it is written."""
        return self._partitions[partition].is_caught_up(end, self._now())

    @property
    def behind_s(self) -> float:
        """How long the oldest of the newest messages known of a partition has waited, in seconds.

        It needs no clock but ours, and is known where `is_caught_up` is called.
        """
        now = self._now()
        return max((each.behind_s(now) for each in self._partitions.values()), default=0.0)

    def begin(
        self, partition: int, kafka_offset: int, records: Iterable[StationRecord]
    ) -> dict[str, StoredSnapshot]:
        """Begin with an assigned partition.

        Parameters
        ----------
        partition : int
            The partition.
        kafka_offset : int
            Offset of the first message that `read` will receive.
        records : iterable of StationRecord
            The records of its last owner.

        Returns
        -------
        dict of str to StoredSnapshot
            That of each station, for the pipeline.
        """
        state = PartitionState(partition, kafka_offset, kafka_offset)
        self._partitions.assign(state)
        snapshots = {}
        for record in records:
            record = self._records.rebase(record, self.topic_id, kafka_offset)
            if self._records.resume(state, record) and record.snapshot is not None:
                snapshots[record.station] = record.snapshot
        return snapshots

    def unassign(self, partitions: Iterable[int]) -> set[str]:
        """Forget partitions; return the stations that are on no other partition."""
        removed: set[str] = set()
        for number in set(partitions):
            if number in self._partitions:
                removed |= self._partitions.release(number).stations.keys()
        lost = {station for station in removed if not self._partitions.states(station)}
        starting = [key for key in self._starting if key[0] not in self._partitions]
        for key in starting:
            del self._starting[key]
        for station in lost.union(
            name for _, name in starting if not self._partitions.states(name)
        ):
            self._decoder.forget(station)
        return lost

    def read(self, message: ConsumerRecord) -> list[AudioChunk]:
        """Decode the next message of a partition; it may bring no chunk."""
        partition = self._partitions[message.partition]
        if isinstance(message.value, Unreadable):
            return self._skip_unreadable(message, message.value)
        partition.next_offset = message.offset + 1
        station = (message.key or b"").decode("utf-8", "replace")
        state = partition.stations.get(station)
        if state is not None and message.offset < state.skip_to:
            self.counts["repeats"] += 1
            return []
        self.counts["messages"] += 1
        self.counts["bytes"] += len(message.value or b"")
        chunks: list[AudioChunk] = []
        if state is None:
            chunks += self._take_over(message, partition, station)
        elif self._records.ends_before(state, message.offset):
            chunks += self._end(partition, station, "idle")
        return chunks + self._process(message, partition, station)

    def skip(self, message: ConsumerRecord) -> None:
        """Pass over the next message of a partition: it is of no station that is received."""
        self._partitions[message.partition].next_offset = message.offset + 1

    def drop(self, stations: Collection[str]) -> None:
        """Forget stations at once; the next `checkpoint` withdraws their records."""
        for partition in self._partitions.values():
            for station in stations:
                partition.first_frames.pop(station, None)
                self._starting.pop((partition.number, station), None)
                if partition.stations.pop(station, None) is not None:
                    partition.withdrawn.add(station)
        for station in stations:
            self._partitions.pop_pending(station)
            self._decoder.forget(station)

    def _take_over(
        self, message: ConsumerRecord, partition: PartitionState, station: str
    ) -> list[AudioChunk]:
        """Read what precedes the first message of a station that has moved to this partition."""
        if self._is_full():
            return []
        tail = self._moves.take_over(message, partition, station, self.topic_id)
        if tail is None:
            return []
        self.counts["moved"] += 1
        return [c for each in tail.messages for c in self._process(each, tail.partition, station)]

    def _process(
        self, message: ConsumerRecord, partition: PartitionState, station: str
    ) -> list[AudioChunk]:
        """Return the chunks of a message, or refuse it."""
        chunks: list[AudioChunk] = []
        try:
            end = read_end(message.headers)
            if message.value or end is None:
                chunks += self._decode(message, partition, station)
            if end is not None and not self._is_late_end(station, end, message):
                chunks += self._end(partition, station, "sent")
        except DecodeError as error:
            partition.first_frames.pop(station, None)
            self._put_dead_letter(message, station, str(error))
            self._note_damage(partition, station)
        return chunks

    def pop_resumed(self) -> dict[str, StoredSnapshot]:
        """Return the snapshots of stations that have moved here since the last call.

        They must be restored before the chunks that `read` has returned since.
        """
        return self._moves.pop_resumed()

    def _decode(
        self, message: ConsumerRecord, partition: PartitionState, station: str
    ) -> list[AudioChunk]:
        """Return the audio of a message."""
        state = partition.stations.get(station)
        if state is None and self._is_full():  # anyone who may write to the topic can invent names
            raise DecodeError(
                f"a new station, and this worker has kafka.max_stations={self._max_stations} of "
                "them; raise it, add workers, or look who sends invented names"
            )
        arrived_ms = None if message.timestamp in (None, -1) else message.timestamp
        content = message.key, message.value, message.headers
        try:
            decoded = self._decoder.decode(*content, arrived_ms, message.offset, partition.number)
        except (AirsiftError, MemoryError):
            raise
        except Exception as error:  # a bug costs one message, not the worker
            raise DecodeError(
                f"airsift fails on it, which is a mistake of airsift ({error!r:.120}, "
                f"{_line_of(error)}): report it with this message"
            ) from error
        is_empty = decoded.placement.is_empty
        if state is None and is_empty:
            self._note_starting(partition, station)
            return self._decide(message, partition, decoded)
        self._starting.pop((partition.number, station), None)
        state = self._partitions.add_station(partition, station)
        self._records.received(state, message.offset)
        if not self._decoder.is_at_end(station):
            return self._decide(message, partition, decoded)
        if is_empty:
            self._note_first_frame(partition, station, message.offset)
        else:
            where = {"station": station}
            log.info("audio of before the end of its stream is dropped", extra=where)
        return []

    def _note_starting(self, partition: PartitionState, station: str) -> None:
        """Note a name without a whole frame. It is no station yet, and few are noted."""
        key = partition.number, station
        self._starting[key] = None
        self._starting.move_to_end(key)
        if len(self._starting) > _MAX_STARTING:
            (number, name), _ = self._starting.popitem(last=False)
            self._partitions[number].first_frames.pop(name, None)
            self._decoder.forget(name)

    def _note_first_frame(self, partition: PartitionState, station: str, offset: int) -> None:
        """Note a message after which no frame of its stream is complete."""
        known = sum(len(each.first_frames) for each in self._partitions.values())
        if known < _MAX_FIRST_FRAMES:
            partition.first_frames.setdefault(station, FirstFrame(self._now(), offset))

    def _is_late_end(self, station: str, end: StreamEnd, message: ConsumerRecord) -> bool:
        """Whether an end belongs to an earlier stream, or is a duplicate."""
        if message.value or end.start_sample is None:
            return False
        return self._decoder.is_past(station, end.start_sample, end.rate)

    def _end(self, partition: PartitionState, station: str, how: Ending) -> list[AudioChunk]:
        """End a station's stream after its last sample, unless it has ended already."""
        partition.first_frames.pop(station, None)
        state = partition.stations.get(station)
        if state is None or state.stream is None or state.stream.over:
            return []
        count = state.stream
        self._give_up_pending(station, "its stream ended")
        self._partitions.set_damaged(
            station, value=False
        )  # the end explains why audio is missing after it
        state.stream, state.buffer = count._replace(over=how), MessageBuffer()
        self._decoder.end_stream(station, count.first / self._rate)
        self.counts["ends"] += 1
        where = {"station": station, "partition": partition.number}
        log.info("its stream has ended" if how == "sent" else "idle: it is ended", extra=where)
        nothing = np.zeros(0, np.float32)
        return [AudioChunk(station, count.end, nothing, self._rate, ends=how)]

    def _decide(
        self, message: ConsumerRecord, partition: PartitionState, decoded: DecodedMessage
    ) -> list[AudioChunk]:
        """Make a message pending if it jumps, and decide on the pending one before it."""
        verdict, station = decoded.placement.verdict, decoded.chunk.station
        before = self._partitions.pop_pending(station)
        if before is not None and verdict is not Verdict.CONFIRMED:
            self._dead_letter_jump(before, "the next message does not go on from there")
        if verdict is Verdict.NEAR:
            return self._accept(message, decoded)
        if verdict is Verdict.PENDING:
            pending = PendingMessage(self._now(), message, decoded)
            if pending.size + self._partitions.pending_bytes <= MAX_PENDING_BYTES:
                self._partitions.add_pending(partition, station, pending)
            else:
                self._put_dead_letter(message, station, _TOO_MANY_PENDING)
            return []
        self.counts["jumps"] += 1
        log.warning(
            "its count or clock has jumped, and a second message confirms it: goes on at second %d",
            decoded.chunk.start // decoded.chunk.rate,
            extra={"station": station, "partition": message.partition},
        )
        first = [] if before is None else self._accept(before.message, before.decoded)
        return first + self._accept(message, decoded)

    def _accept(self, message: ConsumerRecord, decoded: DecodedMessage) -> list[AudioChunk]:
        """Buffer a message that is processed; return its chunk, unless that is empty."""
        chunk, station = decoded.chunk, decoded.chunk.station
        partition = self._partitions[message.partition]
        known = partition.stations.get(station)
        if decoded.placement.is_empty and (not known or not known.stream or known.stream.over):
            self._note_first_frame(partition, station, message.offset)
            return []
        partition.first_frames.pop(station, None)
        state = known or self._partitions.add_station(partition, station)
        # Also a message without a whole frame: the next message may need it.
        state.buffer.add(
            BufferedMessage(message.offset, chunk.start, chunk.end, chunk.rate, decoded.begin)
        )
        if not len(chunk.samples):
            return []
        start, end = (rescale(s, chunk.rate, self._rate) for s in (chunk.start, chunk.end))
        before = state.stream
        state.stream = before.extend(start, end) if before else StreamCount(start, end)
        if before is not None and before.over == "sent":
            chunk = replace(chunk, gap_reason=_ENDED)
        if state.is_damaged:
            self._partitions.set_damaged(station, value=False)
            chunk = replace(chunk, gap_reason="a message could not be decoded")
        return [chunk]

    def _give_up_pending(self, station: str, why: str) -> None:
        """Refuse the pending message of a station that no other message will confirm."""
        pending = self._partitions.pop_pending(station)
        if pending is not None:
            self._decoder.drop_candidate(station)
            self._dead_letter_jump(pending, why)

    def _dead_letter_jump(self, pending: PendingMessage, why: str) -> None:
        """Refuse a message whose jump was not confirmed."""
        placement, station = pending.decoded.placement, pending.decoded.chunk.station
        far = f"{abs(placement.off_s):.0f} s {'ahead of' if placement.off_s > 0 else 'before'}"
        self._put_dead_letter(
            pending.message,
            station,
            f"{placement.hint} is {far} the station's audio, and {why}: a clock or a count that "
            "was wrong once, or a second producer under this name (give each one a name of its "
            "own)",
        )

    def _put_dead_letter(
        self,
        message: ConsumerRecord,
        station: str,
        reason: str,
        line: str = "not processed, sent to the dead letters: %s",
    ) -> None:
        """Send a message to the dead letters."""
        where = {
            "station": station,
            "partition": message.partition,
            "kafka_offset": message.offset,
        }
        log.warning(line, reason, extra=where)
        self.counts["dead_letters"] += 1
        self._refuse(message, reason)

    def _skip_unreadable(self, message: ConsumerRecord, value: Unreadable) -> list[AudioChunk]:
        """Refuse a batch or record that cannot be read, and continue after it."""
        partition = self._partitions[message.partition]
        partition.next_offset = value.last_offset + 1
        self.counts["unreadable"] += 1
        station = (message.key or b"").decode("utf-8", "replace")
        line = "passed over, sent to the dead letters: %s"
        self._put_dead_letter(message, station, value.reason, line)
        self._note_damage(partition, station)
        return []

    def tick(self, caught_up: Collection[int] = ()) -> tuple[list[AudioChunk], set[str]]:
        """Begin an iteration of the loop.

        Parameters
        ----------
        caught_up : collection of int
            Partitions that are read as fast as they are written, from a broker that answers. A
            station there that sends nothing is silent.

        Returns
        -------
        ends : list of AudioChunk
            The ends of stations that were silent for `kafka.idle_s`.
        forgotten : set of str
            Stations that were silent for `kafka.forget_s`. The next `checkpoint` withdraws their
            records; if they return, they are new. None is forgotten before the group has committed
            an offset after its last message, because a restart would read that again.
        """
        self._expire_waiting()
        self._records.tick(caught_up)
        self.counts["damaged_records"] += sum(self._records.check_skips(p) for p in caught_up)
        ends, forgotten = [], set()
        idle, expired = self._records.poll()
        for state in idle:
            partition, record = self._partitions[state.partition], state.record
            if record is None or partition.next_offset < record.read_to:
                continue  # after a restart, its last messages are not read yet
            if self._moves.has_moved_away(state):
                state.buffer = MessageBuffer()
                expired.append(state)
            else:
                ends += self._end(partition, state.station, "idle")
        for state in expired:
            partition, record, station = (
                self._partitions[state.partition],
                state.record,
                state.station,
            )
            if record is None or record.read_to > partition.committable_offset:
                continue
            state.record = None
            partition.stations.pop(station, None)
            partition.withdrawn.add(station)
            if not self._partitions.states(station):
                self._give_up_pending(station, "no other message came after it")
                self._decoder.forget(station)
                forgotten.add(station)
                where = {"station": station, "partition": partition.number}
                log.info("forgotten: it has sent nothing for a long time", extra=where)
        return ends, forgotten

    def _expire_waiting(self) -> None:
        """Wait no longer for the rest of old first frames and for the confirmation of old jumps."""
        now = self._now()
        for partition in self._partitions.values():
            for station, first in list(partition.first_frames.items()):
                if now - first.since_s >= _MAX_FIRST_FRAME_S:
                    del partition.first_frames[station]
            for station, pending in list(partition.pending.items()):
                if now - pending.since_s >= self._idle_s:
                    self._give_up_pending(station, "no other message came after it")

    def _note_damage(self, partition: PartitionState, station: str) -> None:
        """Note that a message of a station is missing, unless its stream has ended."""
        if station in partition.stations and not self._decoder.is_at_end(station):
            self._partitions.set_damaged(station, value=True)

    def _is_full(self) -> bool:
        """Return whether there is no room for another station."""
        return sum(len(p.stations) for p in self._partitions.values()) >= self._max_stations

    def rewrite(self) -> None:
        """Make the next `checkpoint` write all records again, because the topic lost them."""
        self._records.expire()

    def checkpoint(
        self, snapshots: Mapping[str, StoredSnapshot]
    ) -> list[tuple[int, StationRecord]]:
        """Drop the messages that these snapshots no longer need.

        Returns
        -------
        list of (partition, StationRecord)
            The records to write before anything is committed.
        """
        return self._records.checkpoint(snapshots, self.topic_id)


def _line_of(error: Exception) -> str:
    """Return where an error was raised, as a file and a line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
