"""The next message of one station, read beside all groups and without a trace."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from kafka import TopicPartition

from airsift.errors import SourceError
from stream.kafka.client.connect import broker_errors, connect_consumer
from stream.kafka.codec.headers import read_headers
from stream.kafka.codec.message import ChunkDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.audio import AudioChunk
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings


class Peeked(NamedTuple):
    """Audio of a station, and how it was sent."""

    chunk: AudioChunk
    content_type: str
    channels: int


def peek(settings: KafkaSettings, key: str, wait_s: float) -> Peeked:
    """Return the next audio with a key that comes to the audio topic.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, topic and limits.
    key : str
        The key.
    wait_s : float > 0
        How long to wait for it.

    Raises
    ------
    SourceError
        None came.
    DecodeError
        It cannot be decoded.
    BrokerError
        The broker does not answer.
    """
    decoder, asked = ChunkDecoder(settings.wire), key.encode()
    for message in _coming(settings, wait_s):
        if message.key != asked or not message.value:
            continue
        decoded = decoder.decode(
            message.key, message.value, message.headers, message.timestamp, message.offset
        )
        if len(decoded.chunk.samples):
            fields = read_headers(message.headers, settings.wire)
            samples = decoded.chunk.samples
            channels = 1 if samples.ndim == 1 else samples.shape[1]
            return Peeked(decoded.chunk, fields.content_type, channels)
    raise SourceError(
        f"key {key} of topic {settings.topics.audio} at {settings.bootstrap_servers}: no audio "
        f"within {wait_s:g} s; check the key and its producer"
    )


def _coming(settings: KafkaSettings, wait_s: float) -> Iterator[ConsumerRecord]:
    """Yield what comes to the topic from now on."""
    topic = settings.topics.audio
    with closing(connect_consumer(settings)) as consumer, broker_errors(settings):
        partitions = consumer.partitions_for_topic(topic)
        if not partitions:
            raise SourceError(
                f"topic {topic} at {settings.bootstrap_servers}: it does not exist; check "
                "kafka.topics.audio"
            )
        tps = [TopicPartition(topic, each) for each in partitions]
        consumer.assign(tps)
        for tp, end in consumer.end_offsets(tps).items():
            consumer.seek(tp, end)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=100).values():
                yield from records
