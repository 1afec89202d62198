"""Which stations are idle, which are forgotten, and which records are written anew."""

from __future__ import annotations

import pytest

from stream.kafka.checkpoint.partition_state import AssignedPartitions, PartitionState
from stream.kafka.checkpoint.record import StationRecord, StreamCount
from stream.kafka.checkpoint.record_cache import RecordCache
from stream.kafka.codec.message import ChunkDecoder
from stream.kafka.settings import WireSettings
from tests.stream.doubles import snapshot

DAY = 86400.0


def saved(station="a", silent_s=0.0, over=""):
    count = StreamCount(0, 100, over)
    return StationRecord(
        station, 5, 100, 16000, snapshot(100), silent_s=silent_s, read_to=9, count=count
    )


class Loop:
    """Iterates once a second, whatever the clock reads in between; stores every other time."""

    def __init__(self, idle_s=300, forget_s=3000):
        self.now = 0.0
        self.partitions = AssignedPartitions()
        for number in (0, 1):
            self.partitions.assign(PartitionState(number, 0))
        decoder = ChunkDecoder(WireSettings.default())
        self.cache = RecordCache(
            self.partitions, decoder, 16000, idle_s, forget_s, now=lambda: self.now
        )
        self.written = []

    def load(self, partition, record):
        return self.cache.load(self.partitions[partition], record)

    def tick(self, partitions=(0, 1)):
        self.cache.tick(partitions)
        return tuple([(s.partition, s.station) for s in found] for found in self.cache.poll())

    def run(self, seconds, received=(), partitions=(0, 1)):
        idle, old = [], []
        for iteration in range(round(seconds)):
            self.now += 1.0
            for state in received:
                self.cache.received(state, 10**6)
            idle, old = self.tick(partitions)
            if iteration % 2:
                self.written += self.cache.refresh()
        return idle, old


@pytest.fixture
def loop():
    return Loop()


def test_a_silent_station_is_idle_as_soon_as_its_record_states_it(loop):
    loop.load(0, saved("a"))
    b = loop.partitions.add_station(loop.partitions[1], "b")
    loop.cache.store(b, saved("b"))
    assert loop.run(299, received=[b]) == ([], [])
    for _ in range(2):  # for as long as nothing is written
        loop.now += 1
        assert loop.tick() == ([], [])
    [(partition, record)] = loop.cache.refresh()
    assert (partition, record.station, record.silent_s >= 300) == (0, "a", True)
    assert loop.run(2) == ([(0, "a")], [])
    later = Loop()  # the next owner of that record ends the station before any new message
    state = later.load(0, record)
    assert later.cache.ends_before(state, 9)
    assert not later.cache.ends_before(state, 8)
    later.cache.received(state, 9)
    assert not later.cache.ends_before(state, 10)


def test_an_ended_station_is_forgotten_in_the_end(loop):
    loop.load(0, saved("a", silent_s=300.0, over="idle"))
    assert loop.run(2690) == ([], [])
    assert loop.run(20) == ([], [(0, "a")])
    del loop.partitions[0].stations["a"]
    assert loop.run(10) == ([], [])


def test_the_silence_of_a_station_goes_on_over_its_end(loop):
    state = loop.load(0, saved())
    loop.run(400)
    ended = loop.cache.store(state, saved(over="idle"))
    assert 399 <= ended.silent_s <= 401
    assert loop.run(2590) == ([], [])
    assert loop.run(30) == ([], [(0, "a")])


def test_silence_is_carried_over_from_one_process_to_the_next(loop):
    loop.load(0, saved())
    loop.run(130)
    partition, record = loop.written[-1]
    assert (partition, record) == (0, saved(silent_s=record.silent_s))
    assert 60 <= record.silent_s <= 130
    later = Loop()
    later.cache.received(later.load(0, record), 8)  # a message that is read again does not count
    assert later.run(300 - record.silent_s - 10) == ([], [])
    assert later.run(20) == ([(0, "a")], [])


def test_time_in_which_the_loop_stalled_is_no_silence(loop):
    loop.load(0, saved())
    loop.now += 10 * DAY  # the process was stopped, another one has the station
    assert loop.run(1) == ([], [])
    assert loop.cache.refresh() == []


def test_time_in_which_messages_waited_is_no_silence(loop):
    loop.load(0, saved("a"))
    b = loop.load(1, saved("b"))
    assert loop.run(310, partitions=[1]) == ([(1, "b")], [])
    loop.cache.received(b, 9)
    assert loop.run(250, partitions=[0]) == ([], [])
    assert loop.run(60, partitions=[0]) == ([(0, "a")], [])
