"""How far a group may commit, and whether a partition is read as fast as it is written.

Messages of 100 samples::

    station a   | 0: 0-100 | 2: 100-200 | 4: 200-300 | 6: 300-400 |
    station b   | 1: 0-100 | 3: 100-200 | 5: 200-300 | 7: 300-400 |
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.kafka.checkpoint.partition_state import (
    AssignedPartitions,
    BufferedMessage,
    MessageBuffer,
    PartitionState,
    PendingMessage,
)
from stream.kafka.codec.message import ResumePoint
from stream.kafka.records.consumer_record import Received

RATE = 16000


def message(kafka_offset: int, start: int, end: int, rate: int) -> BufferedMessage:
    """Return a message that decodes by itself."""
    return BufferedMessage(kafka_offset, start, end, rate, ResumePoint(kafka_offset, start, rate))


class Partition:
    """One partition from offset 0 on."""

    def __init__(self) -> None:
        self.all = AssignedPartitions()
        self.state = self.all[0] = PartitionState(0, 0)

    def add(self, station: str, message: BufferedMessage) -> None:
        self.all.add_station(self.state, station).buffer.add(message)
        self.state.next_offset = message.kafka_offset + 1

    def trim(self, station: str, oldest: int) -> ResumePoint | None:
        return self.state.stations[station].buffer.trim(oldest, RATE)

    def end(self, station: str) -> None:
        self.state.stations[station].buffer = MessageBuffer()

    @property
    def needed(self) -> int:
        return self.state.commit_offset()


@pytest.fixture
def partition() -> Partition:
    partition = Partition()
    for i in range(4):
        for j, station in enumerate("ab"):
            partition.add(station, message(2 * i + j, 100 * i, 100 * (i + 1), RATE))
    return partition


def test_everything_is_needed_before_anything_is_settled(partition: Partition) -> None:
    assert (partition.needed, partition.state.next_offset) == (0, 8)


def test_the_message_before_the_needed_one_is_read_again(partition: Partition) -> None:
    assert partition.trim("a", 250) == ResumePoint(2, 100, RATE)
    assert partition.trim("b", 300) == ResumePoint(5, 200, RATE)


def test_an_early_message_holds_the_offset_while_needed() -> None:
    partition = Partition()
    for i, start in enumerate((200, 100, 300)):
        partition.add("a", message(i, start, start + 100, RATE))
    # The second is over before the first is.
    assert partition.trim("a", 250) == ResumePoint(0, 200, RATE)
    assert partition.trim("a", 300) == ResumePoint(1, 100, RATE)


def test_the_slowest_station_holds_the_partition(partition: Partition) -> None:
    partition.trim("a", 400)
    assert partition.needed == 1
    partition.trim("b", 250)
    assert partition.needed == 3
    partition.trim("b", 400)
    assert partition.needed == 6


def test_oldest_is_compared_at_its_own_rate() -> None:
    partition = Partition()
    for i in range(3):
        partition.add("a", message(i, 300 * i, 300 * (i + 1), 3 * RATE))
    assert partition.trim("a", 199) == ResumePoint(0, 0, 3 * RATE)
    assert partition.trim("a", 200) == ResumePoint(1, 300, 3 * RATE)


def test_a_station_at_its_end_holds_nothing_back(partition: Partition) -> None:
    partition.trim("b", 400)
    assert partition.needed == 0
    partition.end("a")
    assert partition.trim("a", 400) is None
    assert partition.needed == 7
    partition.add("a", message(8, 400, 500, RATE))
    partition.end("b")
    assert partition.needed == 8


def test_messages_without_audio_are_passed() -> None:
    state = PartitionState(1, 40)
    assert state.commit_offset() == 40
    state.next_offset = 41
    assert state.commit_offset() == 41


def test_a_committed_offset_never_decreases(partition: Partition) -> None:
    partition.end("a")
    partition.end("b")
    assert partition.needed == 8
    partition.add("a", message(5, 0, 100, RATE))
    assert partition.needed == 8


def test_memory_is_bounded_by_what_is_needed() -> None:
    partition = Partition()
    for i in range(10_000):
        partition.add("a", message(i, 100 * i, 100 * (i + 1), RATE))
        partition.trim("a", max(0, 100 * i - 1000))
    assert partition.needed == 9988


def test_a_message_that_needs_a_running_start_holds_the_message_it_begins_with() -> None:
    partition = Partition()
    for i in range(20):
        begin = ResumePoint(max(0, i - 5), 100 * max(0, i - 5), RATE)
        partition.add("a", BufferedMessage(i, 100 * i, 100 * (i + 1), RATE, begin))
    assert partition.trim("a", 1000) == ResumePoint(4, 400, RATE)  # 9 is one before 10
    assert partition.needed == 4


def test_messages_that_complete_no_frame_are_not_the_one_before() -> None:
    partition = Partition()
    for i, (start, end) in enumerate([(0, 100), (100, 200), (200, 200), (200, 200), (200, 300)]):
        partition.add("a", message(i, start, end, RATE))
    # What was not decoded between 1 and 4 belongs to 4, and a restart at 2 would not know of it.
    assert partition.trim("a", 250) == ResumePoint(1, 100, RATE)
    assert partition.trim("a", 300) == ResumePoint(4, 200, RATE)


@pytest.mark.parametrize("loop", [1, 3, 7])
def test_audio_that_is_sent_for_ever_takes_no_memory(loop: int) -> None:
    """The producer does not count, or plays a file over and over."""
    partition = Partition()
    for i in range(500):
        start = 100 * (i % loop)
        partition.add("a", message(i, start, start + 100, RATE))
    assert len(partition.state.stations["a"].buffer.messages) == loop
    assert partition.trim("a", 0) == ResumePoint(0, 0, RATE)
    partition.add("a", message(500, 100 * loop, 100 * loop + 100, RATE))
    begin = partition.trim("a", 100 * loop + 50)
    assert begin is not None
    assert begin.kafka_offset == loop - 1


def test_audio_that_fills_a_hole_is_no_repetition() -> None:
    partition = Partition()
    for i, start in enumerate((0, 200, 100, 300, 250, 100)):
        partition.add("a", message(i, start, start + 100, RATE))
    needed = [each.kafka_offset for each in partition.state.stations["a"].buffer.messages]
    assert needed[:4] == [0, 1, 2, 3]


def caught_up(steps: list[tuple[int, int]]) -> list[bool]:
    """Return the iterations in which a reader with these reads and arrivals has caught up."""
    state, end, out = PartitionState(0, 0), 0, []
    for read, written in steps:
        out.append(state.is_caught_up(end))
        end += written
        state.next_offset = min(state.next_offset + read, end)
    return out


@given(st.lists(st.integers(1, 50), min_size=2))
def test_who_reads_what_there_was_an_iteration_ago_is_caught_up(written: list[int]) -> None:
    state, end = PartitionState(0, 0), 0
    for count in written:
        # Of the newest messages, none has been read yet.
        assert state.is_caught_up(end) or end == written[0]
        state.next_offset, end = end, end + count


def test_who_falls_behind_is_not_caught_up() -> None:
    assert sum(caught_up([(1, 10)] * 200)) < 10
    assert all(caught_up([(10, 10)] * 50))
    assert caught_up([(0, 10), *[(5, 0)] * 10])[-1]


def test_nothing_is_caught_up_before_the_first_fetch() -> None:
    state = PartitionState(0, 5)
    assert not state.is_caught_up(None)
    assert state.is_caught_up(5)
    assert not PartitionState(1, 5).is_caught_up(9)


@pytest.mark.parametrize("again", [False, True])
def test_a_released_partition_takes_its_pending_messages_along(again):
    partitions = AssignedPartitions()
    for number, station in enumerate("ab"):
        partitions.assign(PartitionState(number, 0))
        chunk = AudioChunk(station, 0, np.zeros(10, np.float32), RATE)
        received = Received("audio", number, 0, -1, station.encode(), b"12345", [])
        pending = PendingMessage(0.0, received, SimpleNamespace(chunk=chunk))
        partitions.add_pending(partitions[number], station, pending)
    assert partitions.pending_bytes == 2 * 45
    partitions.assign(PartitionState(0, 0)) if again else partitions.release(0)
    assert partitions.pending_bytes == 45
    assert partitions.pop_pending("a") is None
    assert partitions.pop_pending("b") is not None
    assert partitions.pop_pending("b") is None
    assert partitions.pending_bytes == 0


@given(st.integers(1, 50), st.integers(0, 20))
def test_how_far_it_is_behind_is_the_time_that_messages_wait(per_s: int, delay_s: int) -> None:
    """Each second as many messages come, and those of `delay_s` ago are read."""
    state = PartitionState(0, 0)
    for now in range(100):
        state.next_offset = max(now - delay_s, 0) * per_s
        state.is_caught_up((now + 1) * per_s, float(now))
    # A mark is set once a second.
    assert abs(state.behind_s(100.0) - (delay_s + 1)) <= 1
    state.next_offset = 101 * per_s
    state.is_caught_up(101 * per_s, 100.0)
    state.is_caught_up(101 * per_s, 100.5)
    assert state.behind_s(100.5) == 0.5
