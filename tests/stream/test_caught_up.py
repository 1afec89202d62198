"""A partition that is written all the time can be caught up; one that lags is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.checkpoint.caught_up import CaughtUp


def turns(steps):
    """Return how often a reader was caught up that reads and is written (read, written) a turn."""
    reading, at, end, out = CaughtUp(), 0, 0, []
    for read, written in steps:
        out.append(reading.look(0, at, end))
        end += written
        at = min(at + read, end)
    return out


@given(st.lists(st.integers(1, 50), min_size=2))
def test_who_reads_what_there_was_a_turn_ago_is_caught_up(written):
    reading, end, before = CaughtUp(), 0, 0
    for count in written:
        # Of the newest, nothing has been read yet.
        assert reading.look(0, before, end) or end == written[0]
        before, end = end, end + count


def test_who_falls_behind_is_not():
    assert sum(turns([(1, 10)] * 200)) < 10
    assert all(turns([(10, 10)] * 50))
    assert turns([(0, 10), *[(5, 0)] * 10])[-1]


def test_nothing_is_known_before_the_first_fetch():
    reading = CaughtUp()
    assert not reading.look(0, 5, None)
    assert reading.look(0, 5, 5)
    assert not reading.look(1, 5, 9)
    reading.drop([1])
    assert reading.look(1, 5, 5)
