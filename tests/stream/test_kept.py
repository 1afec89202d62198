"""Which stations are idle, which are forgotten, and which records are written anew."""

from __future__ import annotations

import pytest

from stream.kafka.checkpoint.record import Saved
from stream.kafka.checkpoint.record_cache import Kept
from stream.kafka.checkpoint.stream_count import Count
from tests.stream.doubles import snapshot

DAY = 86400.0


def saved(station="a", silent_s=0.0, over=""):
    count = Count(0, 100, over)
    return Saved(station, 5, 100, 16000, snapshot(100), silent_s=silent_s, read_to=9, count=count)


class Listener:
    """Turns the loop once a second, whatever the clock says in between; settles every other."""

    def __init__(self, idle_s=300, forget_s=3000):
        self.now = 0.0
        self.kept = Kept(idle_s, forget_s, now=lambda: self.now)
        self.written = []

    def listen(self, seconds, heard=(), partitions=(0, 1)):
        idle, old = [], []
        for turn in range(round(seconds)):
            self.now += 1.0
            for place in heard:
                self.kept.heard(place, 10**6)
            self.kept.listen(partitions)
            idle, old = self.kept.look()
            if turn % 2:
                self.written += self.kept.refresh()
        return idle, old


@pytest.fixture
def listener():
    return Listener()


def test_who_is_silent_is_idle_as_soon_as_its_record_says_so(listener):
    listener.kept.begin(0, [saved("a")])
    listener.kept.store(1, saved("b"))
    assert listener.listen(299, heard=[(1, "b")]) == ([], [])
    for _ in range(2):  # for as long as nothing is written
        listener.now += 1
        listener.kept.listen([0, 1])
        assert listener.kept.look() == ([], [])
    [(partition, record)] = listener.kept.refresh()
    assert (partition, record.station, record.silent_s >= 300) == (0, "a", True)
    assert listener.listen(2) == ([(0, "a")], [])
    later = Listener()  # whoever has that record next ends it before anything that comes
    later.kept.begin(0, [record])
    assert later.kept.ends_before((0, "a"), 9)
    assert not later.kept.ends_before((0, "a"), 8)
    later.kept.heard((0, "a"), 9)
    assert not later.kept.ends_before((0, "a"), 10)


def test_who_is_ended_is_forgotten_in_the_end(listener):
    listener.kept.begin(0, [saved("a", silent_s=300.0, over="idle")])
    assert listener.listen(2690) == ([], [])
    assert listener.listen(20) == ([], [(0, "a")])
    assert listener.kept.forget((0, "a")).station == "a"
    assert listener.listen(10) == ([], [])


def test_the_silence_of_a_station_goes_on_over_its_end(listener):
    listener.kept.begin(0, [saved()])
    listener.listen(400)
    ended = listener.kept.store(0, saved(over="idle"))
    assert 399 <= ended.silent_s <= 401
    assert listener.listen(2590) == ([], [])
    assert listener.listen(30) == ([], [(0, "a")])


def test_silence_is_carried_over_from_one_process_to_the_next(listener):
    listener.kept.begin(0, [saved()])
    listener.listen(130)
    partition, record = listener.written[-1]
    assert (partition, record) == (0, saved(silent_s=record.silent_s))
    assert 60 <= record.silent_s <= 130
    later = Listener()
    later.kept.begin(0, [record])
    later.kept.heard((0, "a"), 8)  # read again: that is no news
    assert later.listen(300 - record.silent_s - 10) == ([], [])
    assert later.listen(20) == ([(0, "a")], [])


def test_time_in_which_nobody_listened_is_no_silence(listener):
    listener.kept.begin(0, [saved()])
    listener.now += 10 * DAY  # the process was stopped, others have the station
    assert listener.listen(1) == ([], [])
    assert listener.kept.refresh() == []


def test_time_in_which_messages_waited_is_no_silence(listener):
    listener.kept.begin(0, [saved("a")])
    listener.kept.begin(1, [saved("b")])
    assert listener.listen(310, partitions=[1]) == ([(1, "b")], [])
    listener.kept.heard((1, "b"), 9)
    assert listener.listen(250, partitions=[0]) == ([], [])
    assert listener.listen(60, partitions=[0]) == ([(0, "a")], [])


def test_a_partition_that_others_have_is_nothing_to_us(listener):
    listener.kept.begin(0, [saved("a")])
    listener.kept.begin(1, [saved("a")])
    listener.kept.drop({0})
    assert listener.listen(310) == ([(1, "a")], [])
