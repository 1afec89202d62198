"""Reads topics without joining a group."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.client.connect import broker_errors, connect_consumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop


def follow(
    settings: KafkaSettings,
    topics: Sequence[str],
    *,
    stop: Stop,
    from_start: bool = False,
    until_end: bool = False,
) -> Iterator[ConsumerRecord]:
    """Yield the messages of `topics`, in order within a partition.

    Parameters
    ----------
    settings : KafkaSettings
        The broker.
    topics : sequence of str
        Topics that exist.
    stop : Stop
        Checked several times a second.
    from_start : bool
        Begin with the oldest message, not with the next one.
    until_end : bool
        End where the topics ended at the start.

    Raises
    ------
    BrokerError
        No broker answers, or a topic is not there.
    """
    # Aborted messages are not events, whatever this client's kafka.exactly_once.
    with closing(connect_consumer(settings, isolation_level="read_committed")) as consumer:
        with broker_errors(settings):
            tps = []
            for topic in dict.fromkeys(topics):
                partitions = consumer.partitions_for_topic(topic)
                if not partitions:
                    raise BrokerError(
                        f"the Kafka broker at {settings.bootstrap_servers} has no topic {topic}; "
                        "`airsift run --sink kafka` creates it, or see kafka.topics"
                    )
                tps += [TopicPartition(topic, partition) for partition in sorted(partitions)]
            consumer.assign(tps)
            begins, ends = consumer.beginning_offsets(tps), consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, begins[tp] if from_start else ends[tp])
        while not stop.requested:
            if until_end and all(consumer.position(tp) >= ends[tp] for tp in tps):
                return
            with broker_errors(settings):
                polled = consumer.poll(timeout_ms=round(settings.poll_s * 1000))
            for records in polled.values():
                yield from records


def waiting_messages(settings: KafkaSettings, positions: Mapping[int, int] | None) -> str:
    """Return in words which message waits on the audio topic for us, "" for none.

    The broker is queried over a separate connection. A broker that does not answer is not a stall:
    there is nothing to read.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and topic.
    positions : mapping of int to int, optional
        Our partitions with the offset of the next message, negative for the group's committed
        offset; None for all partitions of the topic.
    """
    topic = settings.topics.audio
    try:
        consumer = connect_consumer(settings, group_id=settings.group)
    except BrokerError:
        return ""
    try:
        with broker_errors(settings):
            ours = positions
            if ours is None:
                ours = dict.fromkeys(consumer.partitions_for_topic(topic) or (), -1)
            tps = {TopicPartition(topic, partition): at for partition, at in ours.items()}
            consumer.assign(list(tps))
            for tp, at in tps.items():
                if at >= 0:
                    consumer.seek(tp, at)
            # By reading: an offset need not be that of a message.
            deadline = time.monotonic() + 3.0
            while time.monotonic() < deadline:
                for tp, records in consumer.poll(timeout_ms=200, max_records=1).items():
                    return (
                        f"kafka_offset {records[0].offset} of {topic} partition {tp.partition} "
                        "waits"
                    )
    except BrokerError:
        return ""
    finally:
        consumer.close()
    return ""
