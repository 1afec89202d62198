from __future__ import annotations

import numpy as np

from stream.audio import AudioChunk
from stream.kafka.intake import Intake, Received
from stream.kafka.saved import Saved
from stream.kafka.settings import KafkaSettings
from stream.kafka.unreadable import Unreadable
from stream.kafka.wire import encode

RATE = 16000


class Topic:
    def __init__(self, **options):
        self.refused = []
        settings = KafkaSettings(**options)
        self.next = self.at = 0
        self.intake = Intake(settings, RATE, self.refuse, now=lambda: self.at)

    def refuse(self, message, reason):
        self.refused.append(reason)

    def hear(self, station, partition=0):
        message = encode(AudioChunk(station, self.next * 100, np.zeros(100, np.float32), RATE))
        self.next += 1
        return bool(self.intake.take(Received("audio", partition, self.next - 1, -1, *message)))


def test_a_station_too_many_is_refused_and_those_known_are_heard():
    topic = Topic(max_stations=3)
    topic.intake.begin(0, 0, [Saved("left", 0, 0, RATE, {"oldest": 0})])
    topic.intake.begin(1, 0, [])
    assert [topic.hear("a"), topic.hear("b", 1), topic.hear("c"), topic.hear("d")] == [
        True,
        True,
        False,
        False,
    ]
    assert all("kafka.max_stations=3" in reason for reason in topic.refused)
    assert topic.hear("left")
    assert topic.hear("a")
    topic.intake.let_go([1])
    assert topic.hear("c")
    assert len(topic.refused) == topic.intake.counts["dead_letters"] == 2


def test_stations_that_were_resumed_and_sent_nothing_are_lost_with_their_partition():
    topic = Topic()
    topic.intake.begin(0, 0, [Saved("quiet", 0, 0, RATE, {}), Saved("on both", 0, 0, RATE, {})])
    topic.intake.begin(1, 0, [])
    topic.hear("loud")
    topic.hear("on both", 1)
    assert topic.intake.let_go([0]) == {"quiet", "loud"}
    assert topic.intake.let_go([0, 1]) == {"on both"}


class Group:
    """One member after another, of a partition on which every message is 100 samples."""

    def __init__(self, log, release_s=60.0):
        self.log, self.release_s = list(log), release_s
        self.committed, self.state = 0, {}
        self.join()

    def join(self):
        self.topic = Topic(forget_s=60.0, release_s=self.release_s)
        self.topic.next = self.committed
        self.resumed = self.topic.intake.begin(0, self.committed, self.state.values())
        self.heard, self.ended = [], {}

    def read(self):
        """Hear what there is, and settle with snapshots that need nothing before."""
        ends = {}
        self.ended |= self.topic.intake.listen()
        for offset in range(self.topic.next, len(self.log)):
            station, start = self.log[offset]
            message = encode(AudioChunk(station, start, np.zeros(100, np.float32), RATE))
            for chunk in self.topic.intake.take(Received("audio", 0, offset, -1, *message)):
                self.heard.append((chunk.station, chunk.start))
                ends[station] = chunk.end
        self.topic.next = len(self.log)
        for _, saved in self.topic.intake.settle({s: {"oldest": end} for s, end in ends.items()}):
            if saved.snapshot is None:
                self.state.pop(saved.station)
            else:
                self.state[saved.station] = saved
        self.committed = self.topic.intake.offsets.needed(0)

    def wait(self, seconds, *others):
        for _ in range(seconds):
            self.topic.at += 1
            self.log += others
            self.read()


def test_a_station_that_was_forgotten_begins_anew_and_nothing_of_it_is_heard_twice():
    group = Group([("a", 0), ("b", 0), ("a", 100)])
    group.read()
    group.wait(50, ("b", 0))
    assert group.ended == {}
    group.wait(80, ("b", 0))
    assert group.ended == {"a": {"oldest": 200}}
    assert group.state.keys() == {"b"}
    group.join()  # whoever comes next knows nothing of it, and hears nothing of it again
    assert group.resumed.keys() == {"b"}
    group.read()
    assert ("a", 0) not in group.heard
    assert ("a", 100) not in group.heard
    group.log.append(("a", 700))
    group.read()
    assert group.heard[-1] == ("a", 700)
    assert group.state["a"].snapshot == {"oldest": 800}


def test_no_station_is_forgotten_that_a_restart_would_hear_again():
    group = Group([("b", 0), ("a", 0)], release_s=100.0)
    group.read()
    group.wait(70)
    assert group.ended == {}
    group.wait(60)
    assert group.ended.keys() == {"a", "b"}


def test_who_comes_back_before_its_record_is_withdrawn_keeps_its_new_one():
    group = Group([("a", 0)])
    group.read()
    group.topic.at += 1
    group.wait(130)
    group.join()
    group.log.append(("a", 500))
    group.read()
    group.topic.at += 1
    group.topic.intake._forgotten.add((0, "a"))
    group.log.append(("a", 600))
    group.read()
    assert group.state["a"].snapshot == {"oldest": 700}


def test_forgotten_stations_make_room_for_others():
    topic = Topic(max_stations=1, forget_s=60.0)
    topic.intake.begin(0, 0, [Saved("gone", 0, 0, RATE, {"oldest": 0}, silent_s=60.0)])
    assert not topic.hear("a")
    assert topic.intake.listen().keys() == {"gone"}
    assert topic.hear("a")


def test_a_station_that_moved_to_another_partition_is_not_ended_on_the_old_one():
    topic = Topic(forget_s=60.0)
    topic.intake.begin(0, 0, [Saved("a", 0, 0, RATE, {"oldest": 0}, silent_s=60.0)])
    topic.intake.begin(1, 0, [])
    topic.hear("a", 1)
    assert topic.intake.listen() == {}
    assert [saved for p, saved in topic.intake.settle({}) if p == 0] == [Saved.nothing("a")]


def test_what_could_not_be_read_is_refused_once_and_the_partition_goes_on_behind_it():
    topic = Topic()
    topic.intake.begin(0, 0, [])
    topic.hear("a")
    batch = Unreadable.of(b"bytes", "a batch of records cannot be read", 7, is_raw=True)
    assert topic.intake.take(Received("audio", 0, 1, -1, None, batch, [])) == []
    assert topic.intake.offsets.next(0) == 8
    topic.next = 8
    assert topic.hear("a")
    record = Unreadable.of(b"audio", "header name", 9, is_raw=False)
    for station in (b"a", b"never heard of"):
        topic.intake.take(Received("audio", 0, 9, -1, station, record, []))
    topic.next = 10
    message = encode(AudioChunk("a", 1000, np.zeros(100, np.float32), RATE))
    [chunk] = topic.intake.take(Received("audio", 0, 10, -1, *message))
    assert chunk.gap_reason == "a message could not be decoded"
    assert topic.refused == [batch.reason, record.reason, record.reason]
    assert topic.intake.counts["unreadable"] == topic.intake.counts["dead_letters"] == 3
    assert topic.intake.offsets.next(0) == 11
