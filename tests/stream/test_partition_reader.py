from __future__ import annotations

import numpy as np

from stream.audio import AudioChunk
from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.checkpoint.record import StationRecord, StreamCount
from stream.kafka.codec.message import ChunkDecoder, encode
from stream.kafka.records.consumer_record import Received, Unreadable
from stream.kafka.settings import KafkaSettings
from tests.stream.doubles import snapshot

RATE = 16000


class Topic:
    def __init__(self, **options):
        self.refused = []
        settings = KafkaSettings.default(**options)
        self.next = self.at = 0
        self.reader = PartitionReader(settings, RATE, self.refuse, now=lambda: self.at)

    def refuse(self, message, reason):
        self.refused.append(reason)

    def listen(self, seconds, partitions=(0, 1)):
        """Turn the loop once a second; return the stations that end, and that are forgotten."""
        ended, forgotten = [], set()
        for _ in range(seconds):
            self.at += 1
            ends, old = self.reader.tick(partitions)
            ended += [(chunk.station, chunk.ends) for chunk in ends]
            forgotten |= old
        return ended, forgotten

    def receive(self, station, partition=0):
        message = encode(AudioChunk(station, self.next * 100, np.zeros(100, np.float32), RATE))
        self.next += 1
        return bool(self.reader.read(Received("audio", partition, self.next - 1, -1, *message)))


def left(station, **more):
    return StationRecord(station, 0, 0, RATE, snapshot(0), **more)


def test_stations_over_the_limit_are_refused_and_known_ones_are_read():
    topic = Topic(max_stations=3)
    topic.reader.begin(0, 0, [StationRecord("left", 0, 0, RATE, snapshot(0))])
    topic.reader.begin(1, 0, [])
    assert [topic.receive("a"), topic.receive("b", 1), topic.receive("c"), topic.receive("d")] == [
        True,
        True,
        False,
        False,
    ]
    assert all("kafka.max_stations=3" in reason for reason in topic.refused)
    assert topic.receive("left")
    assert topic.receive("a")
    topic.reader.unassign([1])
    assert topic.receive("c")
    assert len(topic.refused) == topic.reader.counts["dead_letters"] == 2


def test_stations_that_were_resumed_and_sent_nothing_are_lost_with_their_partition():
    topic = Topic()
    topic.reader.begin(0, 0, [left("quiet"), left("on both")])
    topic.reader.begin(1, 0, [])
    topic.receive("loud")
    topic.receive("on both", 1)
    assert topic.reader.unassign([0]) == {"quiet", "loud"}
    assert topic.reader.unassign([0, 1]) == {"on both"}


def test_forgotten_stations_make_room_for_others():
    topic = Topic(max_stations=1, idle_s=30.0, forget_s=60.0)
    ended = StreamCount(0, 100, "idle")
    topic.reader.begin(0, 0, [left("gone", silent_s=60.0, count=ended)])
    assert not topic.receive("a")
    assert topic.listen(3)[1] == {"gone"}
    assert topic.receive("a")


def test_a_station_that_moved_to_another_partition_is_not_ended_on_the_old_one():
    topic = Topic(idle_s=30.0, forget_s=60.0)
    topic.reader.begin(0, 0, [left("a", silent_s=40.0)])
    topic.reader.begin(1, 0, [])
    topic.receive("a", 1)
    assert topic.listen(3) == ([], set())
    assert [saved for p, saved in topic.reader.checkpoint({}) if p == 0] == [
        StationRecord.tombstone("a")
    ]


def test_what_could_not_be_read_is_refused_once_and_the_partition_goes_on_behind_it():
    topic = Topic()
    topic.reader.begin(0, 0, [])
    topic.receive("a")
    batch = Unreadable.of(b"bytes", "a batch of records cannot be read", 7, is_raw=True)
    assert topic.reader.read(Received("audio", 0, 1, -1, None, batch, [])) == []
    assert topic.reader.next_offset(0) == 8
    topic.next = 8
    assert topic.receive("a")
    record = Unreadable.of(b"audio", "header name", 9, is_raw=False)
    for station in (b"a", b"unknown"):
        topic.reader.read(Received("audio", 0, 9, -1, station, record, []))
    topic.next = 10
    message = encode(AudioChunk("a", 1000, np.zeros(100, np.float32), RATE))
    [chunk] = topic.reader.read(Received("audio", 0, 10, -1, *message))
    assert chunk.gap_reason == "a message could not be decoded"
    assert topic.refused == [batch.reason, record.reason, record.reason]
    assert topic.reader.counts["unreadable"] == topic.reader.counts["dead_letters"] == 3
    assert topic.reader.next_offset(0) == 11


def test_a_mistake_of_ours_costs_one_message_and_names_its_place(monkeypatch):
    topic = Topic()
    topic.reader.begin(0, 0, [])
    assert topic.receive("a")
    with monkeypatch.context() as patch:
        patch.setattr(ChunkDecoder, "_decode_file", lambda *_: 1 // 0)
        assert not topic.receive("a")
    assert topic.receive("a")
    [reason] = topic.refused
    assert "a mistake of airsift (ZeroDivisionError('" in reason
    assert "test_partition_reader.py:" in reason
    assert len(reason.splitlines()) == 1
