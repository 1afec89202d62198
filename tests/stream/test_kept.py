"""Which stations are forgotten, and which records are written anew."""

from __future__ import annotations

import pytest

from stream.kafka.kept import Kept
from stream.kafka.saved import Saved

DAY = 86400.0


def saved(station="a", silent_s=0.0):
    return Saved(station, 5, 100, 16000, {"oldest": 100}, silent_s=silent_s)


class Listener:
    """Turns the loop once a second, whatever the clock says in between."""

    def __init__(self, forget_s=DAY):
        self.now = 0.0
        self.kept = Kept(forget_s, now=lambda: self.now)

    def listen(self, seconds, heard=()):
        silent = []
        for _ in range(round(seconds)):
            self.now += 1.0
            for place in heard:
                self.kept.heard(*place)
            silent = self.kept.listen()
        return silent


@pytest.fixture
def listener():
    return Listener(forget_s=3000)


def test_who_is_heard_is_kept_and_who_is_not_is_silent_in_the_end(listener):
    listener.kept.begin(0, [saved("a")])
    listener.kept.store(1, saved("b"))
    assert listener.listen(2990, heard=[(1, "b")]) == []
    assert listener.listen(20, heard=[(1, "b")]) == [(0, "a")]
    assert listener.kept.forget((0, "a")) == saved("a")
    assert listener.listen(2980) == []
    assert listener.listen(20) == [(1, "b")]


def test_silence_is_carried_over_from_one_process_to_the_next(listener):
    listener.kept.begin(0, [saved()])
    listener.listen(605)
    [(partition, record)] = listener.kept.refresh()
    assert (partition, record) == (0, saved(silent_s=record.silent_s))
    assert listener.kept.refresh() == []
    later = Listener(forget_s=3000)
    later.kept.begin(0, [record])
    assert later.listen(3000 - record.silent_s - 10) == []
    assert later.listen(20) == [(0, "a")]


def test_time_in_which_nobody_listened_is_no_silence(listener):
    listener.kept.begin(0, [saved()])
    listener.now += 10 * DAY  # the process was stopped, others have the station
    assert listener.listen(1) == []
    assert listener.kept.refresh() == []


def test_a_partition_that_others_have_is_nothing_to_us(listener):
    listener.kept.begin(0, [saved("a")])
    listener.kept.begin(1, [saved("a")])
    listener.kept.drop({0})
    assert listener.listen(3010) == [(1, "a")]
