"""Reading topics without a group, as somebody who only looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import TopicPartition

from airsift.errors import BrokerError
from stream.kafka.client.connect import broker_errors, connect_consumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop


def follow(
    settings: KafkaSettings,
    topics: Sequence[str],
    *,
    stop: Stop,
    from_start: bool = False,
    until_end: bool = False,
) -> Iterator[Any]:
    """Yield kafka-python's records of `topics`, in order within a partition.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    topics : sequence of str
        Topics that exist.
    stop : Stop
        Looked at several times a second.
    from_start : bool
        Begin with the oldest record there is, not with the next one.
    until_end : bool
        End at what was the end of the topics in the beginning.

    Raises
    ------
    BrokerError
        No broker answers, or a topic is not there.
    """
    # What was undone never counted, whether or not we are told of exactly_once.
    consumer = connect_consumer(settings, isolation_level="read_committed")
    try:
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
    finally:
        consumer.close()
