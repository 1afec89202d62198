"""Reads a period of topics, by the records' timestamps, without joining a group."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from kafka import TopicPartition

from stream.kafka.client.connect import broker_errors, connect_consumer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafka import KafkaConsumer

    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop


class Period(NamedTuple):
    """A period of Unix time in milliseconds, half-open."""

    begin_ms: int
    end_ms: int

    def __contains__(self, time_ms: object) -> bool:
        return isinstance(time_ms, int | float) and self.begin_ms <= time_ms < self.end_ms

    def widened(self, ms: int) -> Period:
        """Return the period with as much more at both ends."""
        return Period(max(self.begin_ms - ms, 0), self.end_ms + ms)


def read_period(
    settings: KafkaSettings, topics: Sequence[str], period: Period, *, stop: Stop
) -> Iterator[list[ConsumerRecord]]:
    """Yield the messages of a period, in order within a partition, and empty lists while waiting.

    A partition is read from its first message of the period up to the first one behind it, but not
    beyond where it ended at the start. Messages in between whose timestamp lies elsewhere are read
    too: timestamps are the producers', and need not be in order.

    Parameters
    ----------
    settings : KafkaSettings
        The broker.
    topics : sequence of str
        Topics; one that does not exist has no messages.
    period : Period
        Of the records' timestamps.
    stop : Stop
        Checked several times a second.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    # Aborted messages are no events, and audio that a producer took back is none.
    with closing(connect_consumer(settings, isolation_level="read_committed")) as consumer:
        with broker_errors(settings):
            goals = _begin(consumer, topics, period)
        unseen = set(goals)
        while goals and not stop.requested:
            with broker_errors(settings):
                polled = consumer.poll(timeout_ms=round(settings.poll_s * 1000))
            found: list[ConsumerRecord] = []
            # The embedded broker reports the start of its last batch as the end. Its first answer
            # to a fetch is right, and later ones are of messages that came since.
            for tp in unseen & polled.keys():
                goals[tp] = max(goals[tp], consumer.highwater(tp) or 0)
            unseen -= polled.keys()
            for tp, records in polled.items():
                for record in records:
                    if tp not in goals:
                        break
                    if record.timestamp >= period.end_ms or record.offset >= goals[tp]:
                        del goals[tp]
                        break
                    found.append(record)
            with broker_errors(settings):
                for tp, end in [*goals.items()]:
                    if tp not in unseen and consumer.position(tp) >= end:
                        del goals[tp]
                consumer.pause(*(tp for tp in consumer.assignment() if tp not in goals))
            yield found


def _begin(
    consumer: KafkaConsumer, topics: Sequence[str], period: Period
) -> dict[TopicPartition, int]:
    """Seek to the beginning of a period; return where each partition with messages ends."""
    tps = [
        TopicPartition(topic, partition)
        for topic in dict.fromkeys(topics)
        for partition in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    if not tps:
        return {}
    consumer.assign(tps)
    ends = consumer.end_offsets(tps)
    found = consumer.offsets_for_times(dict.fromkeys(tps, period.begin_ms))
    goals = {}
    for tp in tps:
        at = found.get(tp)
        if at is None or at.offset < 0:
            consumer.pause(tp)
            continue
        consumer.seek(tp, at.offset)
        goals[tp] = ends[tp]
    return goals
