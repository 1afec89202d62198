"""Partitions are held at the beginning of a first frame, and not for long."""

from __future__ import annotations

from stream.kafka.records.consumer_record import Received
from tests.stream.bare import stream
from tests.stream.containers import sizes
from tests.stream.partition import new_reader

FRAMES = stream("mp3", 16_000, "mono", 24_000).frames
HEADERS = [("content-type", b"audio/mpeg"), ("start_sample", b"0")]


class Partition:
    def __init__(self):
        self.at = 0.0
        self.reader = new_reader(now=lambda: self.at)

    def take(self, offset, station, value):
        message = Received("audio", 0, offset, 1_700_000_000_000, station, value, HEADERS)
        return self.reader.read(message)

    @property
    def needed(self):
        return self.reader.commit_offset(0)


def test_a_part_of_a_first_frame_is_needed_until_a_snapshot_has_the_frame():
    partition = Partition()
    assert partition.take(0, b"a", FRAMES[0][:50]) == []
    assert partition.take(1, b"b", FRAMES[0][:50]) == []
    assert partition.needed == 0
    [chunk] = partition.take(2, b"a", FRAMES[0][50:] + FRAMES[1])
    assert (chunk.start, len(chunk.samples)) == (0, 1152)
    assert partition.needed == 0  # it begins with message 0


def test_a_first_frame_that_never_ends_holds_its_partition_for_some_seconds():
    partition = Partition()
    partition.take(0, b"a", FRAMES[0][:50])
    partition.reader.tick()
    assert partition.needed == 0
    partition.at = 11.0
    partition.reader.tick()
    assert partition.needed == 1


def test_invented_names_with_parts_of_frames_cost_little():
    partition = Partition()
    for i in range(2000):
        partition.take(i, b"name %d" % i, FRAMES[0][:50])
    assert max(sizes(partition.reader).values()) <= 1024
    assert partition.needed >= 2000 - 257
