"""Reads topics without joining a group."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.client.connect import broker_errors, connect_consumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
