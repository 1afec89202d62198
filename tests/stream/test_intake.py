from __future__ import annotations

import numpy as np

from stream.audio import AudioChunk
from stream.kafka.intake import Intake, Received
from stream.kafka.saved import Saved
from stream.kafka.settings import KafkaSettings
from stream.kafka.wire import encode

RATE = 16000


class Topic:
    def __init__(self, **options):
        self.refused = []
        settings = KafkaSettings(**options)
        self.intake = Intake(settings, RATE, lambda message, reason: self.refused.append(reason))
        self.next = 0

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
