"""Where a station's audio on the topic ends."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from kafka import TopicPartition
from kafka.partitioner import murmur2

from airsift.errors import DecodeError
from stream.kafka.client.connect import broker_errors, connect_consumer
from stream.kafka.codec.message import ChunkDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_STEP = 1000  # messages looked through at first; each further step is twice as long
_ENOUGH = 3  # messages of a station, so that one with a wrong count is seen to be alone
_MAX_DECODED = 16


class _TooLong(Exception):
    """The time for a search is over."""


def end_of_station(settings: KafkaSettings, station: str) -> tuple[int, int] | None:
    """Return (the sample after a station's last message, its rate), None for a new station.

    The topic is searched backwards, all of it if need be: first the partition in which Kafka's
    own clients put the station, then the others. If that takes longer than
    ``kafka.request_timeout_s``, a line in the log says so, and the end is now, counted from 1970
    in seconds: no earlier count has come further.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    key, topic = station.encode(), settings.topics.audio
    deadline = time.monotonic() + settings.request_timeout_s
    consumer = connect_consumer(settings)
    found: list[Any] = []
    try:
        with broker_errors(settings):
            for i, tp in enumerate(_partitions(consumer, topic, key)):
                for record in _backwards(consumer, tp, key, deadline, empty=i > 0):
                    found.append(record)
                    if len(found) >= _MAX_DECODED:
                        break
                if found:
                    break
    except _TooLong:
        if not found:
            log.warning(
                "the end of its audio was not found on %s within kafka.request_timeout_s=%g: it "
                "goes on from now, counted from 1970",
                topic,
                settings.request_timeout_s,
                extra={"station": station},
            )
            return int(time.time()) + 1, 1
    finally:
        consumer.close()
    return _end(settings, station, found[::-1])


def _partitions(consumer: Any, topic: str, key: bytes) -> list[TopicPartition]:
    """Return the topic's partitions, the most likely first."""
    partitions = sorted(consumer.partitions_for_topic(topic) or {0})
    # Java's formula, which kafka-python's default partitioner follows.
    likely = partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]
    others = [partition for partition in partitions if partition != likely]
    return [TopicPartition(topic, partition) for partition in (likely, *others)]


def _backwards(
    consumer: Any, tp: TopicPartition, key: bytes, deadline: float, *, empty: bool
) -> Iterator[Any]:
    """Yield a partition's messages with a key, the newest first, until there are enough.

    `empty` is whether one whose offsets say so is taken for empty: the embedded broker says it
    of the first batch too.

    Raises
    ------
    _TooLong
        It took too long.
    """
    consumer.assign([tp])
    first, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
    step, count, newest = _STEP, 0, True
    if end <= first and empty:
        return
    while count < _ENOUGH and (end > first or newest):
        begin = max(end - step, first)
        consumer.seek(tp, begin)
        latest: deque[Any] = deque(maxlen=_MAX_DECODED)
        while True:
            if time.monotonic() > deadline:
                raise _TooLong
            records = consumer.poll(timeout_ms=200).get(tp, [])
            if newest and (known := consumer.highwater(tp)) is not None:
                end = max(end, known)
            latest.extend(r for r in records if r.offset < end and _is_audio(r, key))
            if consumer.position(tp) >= end:
                break
        yield from reversed(latest)
        count, end, step, newest = count + len(latest), begin, 2 * step, False


def _is_audio(record: Any, key: bytes) -> bool:
    """Whether a message is of a station and has audio: the end of a stream has none."""
    return bool(record.key == key and record.value)


def _end(settings: KafkaSettings, station: str, records: list[Any]) -> tuple[int, int] | None:
    """Return where messages, in order, leave their station."""
    decoder = ChunkDecoder(settings.wire)
    for record in records:
        arrived_ms = None if record.timestamp == -1 else record.timestamp
        try:
            decoder.decode(record.key, record.value, record.headers, arrived_ms)
        except DecodeError:
            continue
    return decoder.end(station)
