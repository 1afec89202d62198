"""Where a station's audio on the topic ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kafka import TopicPartition
from kafka.partitioner import murmur2

from airsift.errors import DecodeError
from stream.kafka.client import broker_errors, connect_consumer
from stream.kafka.wire import ChunkDecoder

if TYPE_CHECKING:
    from stream.kafka.settings import KafkaSettings

_LOOK_BACK = 1000  # messages of the partition; a station silent for longer counts as new


def end_of_station(settings: KafkaSettings, station: str) -> tuple[int, int] | None:
    """Return (the sample after a station's last message, its rate), None for a new station.

    Only the partition is looked at in which Kafka's own clients put the station.
    """
    key, topic = station.encode(), settings.topics.audio
    consumer = connect_consumer(settings)
    last = None
    try:
        with broker_errors(settings):
            partitions = sorted(consumer.partitions_for_topic(topic) or {0})
            # Java's formula, which kafka-python's default partitioner follows.
            tp = TopicPartition(topic, partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)])
            consumer.assign([tp])
            end = consumer.end_offsets([tp])[tp]
            begin = max(consumer.beginning_offsets([tp])[tp], end - _LOOK_BACK)
            if begin < end:
                consumer.seek(tp, begin)
            deadline = time.monotonic() + settings.request_timeout_s
            at = begin
            while at < end and time.monotonic() < deadline:
                for record in consumer.poll(timeout_ms=200).get(tp, []):
                    at = record.offset + 1
                    last = record if record.key == key else last
    finally:
        consumer.close()
    if last is None:
        return None
    try:
        chunk = (
            ChunkDecoder(settings.wire)
            .decode(last.key, last.value, last.headers, last.timestamp)
            .chunk
        )
    except DecodeError:
        return None
    return chunk.end, chunk.rate
