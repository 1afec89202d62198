"""How far a group may commit.

Messages of 100 samples::

    station a   | 0: 0-100 | 2: 100-200 | 4: 200-300 | 6: 300-400 |
    station b   | 1: 0-100 | 3: 100-200 | 5: 200-300 | 7: 300-400 |
"""

from __future__ import annotations

import pytest

from stream.kafka.checkpoint.offsets import Heard, Offsets
from stream.kafka.codec.message import Begin

RATE = 16000


def message(kafka_offset: int, start: int, end: int, rate: int) -> Heard:
    """Return a message that decodes by itself."""
    return Heard(kafka_offset, start, end, rate, Begin(kafka_offset, start, rate))


@pytest.fixture
def offsets() -> Offsets:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i in range(4):
        for j, station in enumerate("ab"):
            kafka_offset = 2 * i + j
            offsets.heard(0, station, message(kafka_offset, 100 * i, 100 * (i + 1), RATE))
            offsets.passed(0, kafka_offset)
    return offsets


def test_everything_is_needed_before_anything_is_settled(offsets: Offsets) -> None:
    assert (offsets.needed(0), offsets.next(0)) == (0, 8)


def test_the_message_before_the_one_needed_is_kept(offsets: Offsets) -> None:
    assert offsets.settle("a", 250) == [(0, Begin(2, 100, RATE))]
    assert offsets.settle("b", 300) == [(0, Begin(5, 200, RATE))]


def test_a_message_that_came_early_is_kept_while_it_is_needed() -> None:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i, start in enumerate((200, 100, 300)):
        offsets.heard(0, "a", message(i, start, start + 100, RATE))
        offsets.passed(0, i)
    # The second is over before the first is.
    assert offsets.settle("a", 250) == [(0, Begin(0, 200, RATE))]
    assert offsets.settle("a", 300) == [(0, Begin(1, 100, RATE))]


def test_the_slowest_station_holds_the_partition(offsets: Offsets) -> None:
    offsets.settle("a", 400)
    assert offsets.needed(0) == 1
    offsets.settle("b", 250)
    assert offsets.needed(0) == 3
    offsets.settle("b", 400)
    assert offsets.needed(0) == 6


def test_oldest_is_compared_at_its_own_rate() -> None:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i in range(3):
        offsets.heard(0, "a", message(i, 300 * i, 300 * (i + 1), 3 * RATE))
    assert offsets.settle("a", 199) == [(0, Begin(0, 0, 3 * RATE))]
    assert offsets.settle("a", 200) == [(0, Begin(1, 300, 3 * RATE))]


def test_a_station_at_its_end_holds_nothing_back(offsets: Offsets) -> None:
    offsets.settle("b", 400)
    assert offsets.needed(0) == 0
    offsets.end(0, "a")
    offsets.end(0, "never heard")
    assert offsets.settle("a", 400) == []
    assert offsets.needed(0) == 7
    assert offsets.is_past(0, 7)
    assert not offsets.is_past(0, 8)
    offsets.heard(0, "a", message(8, 400, 500, RATE))
    offsets.end(0, "b")
    assert offsets.needed(0) == 8


def test_messages_without_audio_are_passed(offsets: Offsets) -> None:
    offsets.begin(1, 40)
    assert offsets.needed(1) == 40
    offsets.passed(1, 40)
    assert offsets.needed(1) == 41


def test_a_partition_that_was_dropped_is_not_known(offsets: Offsets) -> None:
    offsets.begin(1, 0)
    offsets.drop([0, 2])
    assert offsets.partitions == {1}
    assert offsets.settle("a", 0) == []


def test_memory_is_bounded_by_what_is_needed() -> None:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i in range(10_000):
        offsets.heard(0, "a", message(i, 100 * i, 100 * (i + 1), RATE))
        offsets.settle("a", max(0, 100 * i - 1000))
    assert offsets.needed(0) == 9988


def test_a_message_that_needs_a_running_start_holds_the_message_it_begins_with() -> None:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i in range(20):
        begin = Begin(max(0, i - 5), 100 * max(0, i - 5), RATE)
        offsets.heard(0, "a", Heard(i, 100 * i, 100 * (i + 1), RATE, begin))
        offsets.passed(0, i)
    assert offsets.settle("a", 1000) == [(0, Begin(4, 400, RATE))]  # 9 is one before 10
    assert offsets.needed(0) == 4


def test_messages_that_complete_no_frame_are_not_the_one_before() -> None:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i, (start, end) in enumerate([(0, 100), (100, 200), (200, 200), (200, 200), (200, 300)]):
        offsets.heard(0, "a", message(i, start, end, RATE))
        offsets.passed(0, i)
    # What was not decoded between 1 and 4 belongs to 4, and a restart at 2 would not know of it.
    assert offsets.settle("a", 250) == [(0, Begin(1, 100, RATE))]
    assert offsets.settle("a", 300) == [(0, Begin(4, 200, RATE))]


@pytest.mark.parametrize("loop", [1, 3, 7])
def test_audio_that_is_sent_for_ever_takes_no_memory(loop: int) -> None:
    """As of a producer that does not count, or plays a file over and over."""
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i in range(500):
        start = 100 * (i % loop)
        offsets.heard(0, "a", message(i, start, start + 100, RATE))
        offsets.passed(0, i)
    assert len(offsets._stations[0]["a"].messages) == loop
    assert offsets.settle("a", 0) == [(0, Begin(0, 0, RATE))]
    offsets.heard(0, "a", message(500, 100 * loop, 100 * loop + 100, RATE))
    offsets.passed(0, 500)
    assert offsets.settle("a", 100 * loop + 50)[0][1].kafka_offset == loop - 1


def test_audio_that_fills_a_hole_is_no_repetition() -> None:
    offsets = Offsets(RATE)
    offsets.begin(0, 0)
    for i, start in enumerate((0, 200, 100, 300, 250, 100)):
        offsets.heard(0, "a", message(i, start, start + 100, RATE))
        offsets.passed(0, i)
    needed = [each.kafka_offset for each in offsets._stations[0]["a"].messages]
    assert needed[:4] == [0, 1, 2, 3]
