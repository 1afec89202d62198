"""The state of one partition and of its stations, and the offset that may be committed.

Releasing a partition deletes its `PartitionState`; forgetting a station deletes its `StationState`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stream.kafka.checkpoint.record import StationRecord, StreamCount
    from stream.kafka.codec.message import DecodedMessage, ResumePoint
    from stream.kafka.records.consumer_record import ConsumerRecord


class BufferedMessage(NamedTuple):
    """A decoded message that a restart may have to read again.

    Parameters
    ----------
    kafka_offset : int
        Its offset in the partition.
    start, end : int
        Its samples, half-open, at `rate`.
    rate : int > 0
        Samples per second.
    begin : ResumePoint
        The message at which a restart begins to decode this one: itself, or an earlier one that
        its decoder needs.
    """

    kafka_offset: int
    start: int
    end: int
    rate: int
    begin: ResumePoint


class MessageBuffer:
    """One station's buffered messages, and its last stretch of audio without a gap.

    The message before the first one needed stays buffered too: samples that were not decoded
    between two messages belong to the second.
    """

    __slots__ = ("_end", "_rate", "_start", "messages")

    def __init__(self) -> None:
        self.messages: deque[BufferedMessage] = deque()
        self._start = self._end = self._rate = 0

    def add(self, message: BufferedMessage) -> None:
        """Append a message, unless it only repeats earlier audio.

        A restart at the message with that audio does not need the repetition, so a producer that
        sends the same audio for ever uses no memory.
        """
        start, end, rate = message.start, message.end, message.rate
        follows = rate == self._rate and self._start <= start <= self._end
        if follows and start < end <= self._end:
            return
        if start < end:
            self._start, self._end, self._rate = self._start if follows else start, end, rate
        self.messages.append(message)

    def trim(self, oldest: int, rate: int) -> ResumePoint | None:
        """Remove what is not needed for sample `oldest` at `rate`; return where a restart begins.

        Messages may be out of order, so those after a needed one stay. A message without a whole
        frame does not tell what was not decoded before it.
        """
        if not self.messages:
            return None
        count = 0
        for i, message in enumerate(self.messages):
            if message.end * rate > oldest * message.rate:
                break
            if message.start < message.end:
                count = i
        for _ in range(count):
            self.messages.popleft()
        return self.messages[0].begin


@dataclass(slots=True, eq=False)
class StationState:
    """One station on one partition. A station that moves is on two partitions for a while.

    Parameters
    ----------
    partition : int
        The partition.
    station : str
        The station.
    skip_to : int
        Messages before this offset are contained in the restored snapshot.
    adopted_at : int
        Offset at which the station's record was adopted from another partition; -1 if it was not.
    stream : StreamCount, optional
        Samples of its stream so far; None before the first ones.
    is_damaged : bool
        Whether its last message could not be decoded.
    buffer : MessageBuffer
        Messages that a restart must read again.
    record : StationRecord, optional
        The newest stored record.
    received_s, written_s : float
        When its last message was received and `record` was written, in `PartitionState.read_s`.
    """

    partition: int
    station: str
    skip_to: int = 0
    adopted_at: int = -1
    stream: StreamCount | None = None
    is_damaged: bool = False
    buffer: MessageBuffer = field(default_factory=MessageBuffer)
    record: StationRecord | None = None
    received_s: float = 0.0
    written_s: float = 0.0


class FirstFrame(NamedTuple):
    """The message with the beginning of a stream's first frame: a restart must read it again."""

    since_s: float
    kafka_offset: int


class PendingMessage(NamedTuple):
    """A message whose jump is not confirmed yet, and what it decodes to."""

    since_s: float
    message: ConsumerRecord
    decoded: DecodedMessage

    @property
    def size(self) -> int:
        """Memory in bytes."""
        return len(self.message.value or b"") + self.decoded.chunk.samples.nbytes


@dataclass(slots=True, eq=False)
class PartitionState:
    """One partition of the audio topic.

    Parameters
    ----------
    number : int
        The partition.
    next_offset : int
        Offset after the last message read.
    committable_offset : int
        Result of the last `commit_offset`.
    stations : dict of str to StationState
        Its stations: names with at least one whole frame.
    first_frames : dict of str to FirstFrame
        Streams of which only a part of the first frame was received.
    pending : dict of str to PendingMessage
        Messages that wait for the next message of their station.
    withdrawn : set of str
        Forgotten stations whose stored records must be deleted.
    read_s : float
        Seconds for which the partition was read as fast as it was written.
    is_checked : bool
        Whether the `skip_to` of its stations were compared with the end of the partition.
    end_mark : int, optional
        An earlier end of the partition, see `is_caught_up`.
    marked_at, took_s : float
        When that was the end, and how long the mark before took to be reached, in seconds.
    """

    number: int
    next_offset: int
    committable_offset: int = 0
    stations: dict[str, StationState] = field(default_factory=dict)
    first_frames: dict[str, FirstFrame] = field(default_factory=dict)
    pending: dict[str, PendingMessage] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    read_s: float = 0.0
    is_checked: bool = False
    end_mark: int | None = None
    marked_at: float = 0.0
    took_s: float = 0.0

    def commit_offset(self) -> int:
        """Return the first offset that a restart must read. It never decreases."""
        needed = [
            state.buffer.messages[0].begin.kafka_offset
            for state in self.stations.values()
            if state.buffer.messages
        ]
        needed += [first.kafka_offset for first in self.first_frames.values()]
        needed += [pending.message.offset for pending in self.pending.values()]
        at = min(needed, default=self.next_offset)
        self.committable_offset = max(at, self.committable_offset)
        return self.committable_offset

    def is_caught_up(self, end: int | None, now: float = 0.0) -> bool:
        """Return whether the partition is read as fast as it is written.

        A partition with many stations always has a next message, so being at its end is no
        criterion. Instead, its end is marked; once everything before the mark has been read, the
        partition is caught up, and the mark moves to the new end.

        Parameters
        ----------
        end : int, optional
            End of the partition; None if it is not known.
        now : float
            The clock, in seconds.
        """
        if end is None:
            return False
        if self.end_mark is None:
            self.end_mark, self.marked_at = end, now
        if self.next_offset < self.end_mark:
            return False
        self.took_s = now - self.marked_at
        self.end_mark, self.marked_at = end, now
        return True

    def behind_s(self, now: float) -> float:
        """Return how long it takes, in seconds, from a message's arrival until it is read.

        That is the time until the last mark was reached, or since the present one was set, if it
        is not reached and that is longer already.
        """
        if self.end_mark is None:
            return 0.0
        waits = self.next_offset < self.end_mark
        return max(self.took_s, now - self.marked_at if waits else 0.0)


class AssignedPartitions(dict[int, PartitionState]):
    """The assigned partitions by number.

    Attributes
    ----------
    pending_bytes : int
        Memory of all pending messages.
    """

    def __init__(self) -> None:
        super().__init__()
        # A station has at most one pending message: found without a search of all partitions.
        self._pending_on: dict[str, PartitionState] = {}
        self.pending_bytes = 0

    def states(self, station: str) -> list[StationState]:
        """Return the states of a station on all partitions."""
        return [p.stations[station] for p in self.values() if station in p.stations]

    def add_station(self, partition: PartitionState, station: str) -> StationState:
        """Return the state of a station on a partition, which is added if it is new."""
        if station not in partition.stations:
            is_damaged = any(state.is_damaged for state in self.states(station))
            state = StationState(partition.number, station, is_damaged=is_damaged)
            partition.stations[station] = state
        return partition.stations[station]

    def set_damaged(self, station: str, *, value: bool) -> None:
        """Note whether the last message of a station could not be decoded."""
        for state in self.states(station):
            state.is_damaged = value

    def assign(self, partition: PartitionState) -> None:
        """Add a partition, in place of an earlier state of it."""
        if partition.number in self:
            self.release(partition.number)
        self[partition.number] = partition

    def release(self, number: int) -> PartitionState:
        """Remove and return a partition, with its pending messages."""
        partition = self.pop(number)
        for station, pending in partition.pending.items():
            del self._pending_on[station]
            self.pending_bytes -= pending.size
        return partition

    def add_pending(self, partition: PartitionState, station: str, pending: PendingMessage) -> None:
        """Let a message wait for the next one of its station, which has no other that waits."""
        partition.pending[station] = pending
        self._pending_on[station] = partition
        self.pending_bytes += pending.size

    def pop_pending(self, station: str) -> PendingMessage | None:
        """Remove and return the pending message of a station, if there is one."""
        partition = self._pending_on.pop(station, None)
        if partition is None:
            return None
        pending = partition.pending.pop(station)
        self.pending_bytes -= pending.size
        return pending
