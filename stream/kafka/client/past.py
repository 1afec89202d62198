"""Reads a period of topics, by the records' timestamps, without joining a group."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kafka import TopicPartition

from stream.kafka.client.connect import broker_errors, connect_consumer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from kafka import KafkaConsumer

    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop


# Of one producer whose clock is ahead, or of a partition that has passed a period.
MAX_BEHIND = 1000


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
    settings: KafkaSettings,
    topics: Sequence[str],
    period: Period,
    *,
    stop: Stop,
    keys: Collection[bytes] | None = None,
) -> Iterator[list[ConsumerRecord]]:
    """Yield the messages of a period, in order within a partition, and empty lists while waiting.

    A partition is read from its first message of the period on, up to where it ended at the start,
    or to where `MAX_BEHIND` messages in a row lie behind the period. Messages in between whose
    timestamp lies before the period are yielded too: timestamps are the producers', need not be in
    order, and the clock of one producer may be wrong.

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
    keys : collection of bytes, optional
        Only messages with these keys; with any by default.

    Raises
    ------
    BrokerError
        No broker answers.
    """
    # Aborted messages are no events, and audio that a producer took back is none.
    with closing(connect_consumer(settings, isolation_level="read_committed")) as consumer:
        with broker_errors(settings):
            spans = _begin(consumer, topics, period)
        while spans and not stop.requested:
            with broker_errors(settings):
                polled = consumer.poll(timeout_ms=round(settings.poll_s * 1000))
            found: list[ConsumerRecord] = []
            for tp, records in polled.items():
                span = spans.get(tp)
                if span is None:
                    continue
                if not span.is_seen:
                    # The embedded broker reports the start of its last batch as the end. Its first
                    # answer to a fetch is right; later ones are of messages that came since.
                    span.end, span.is_seen = max(span.end, consumer.highwater(tp) or 0), True
                found += span.take(records, period, keys)
            with broker_errors(settings):
                for tp, span in [*spans.items()]:
                    at = consumer.position(tp)
                    # Without a message behind what was aborted, only the position moves.
                    if span.is_over or (at >= span.end and (span.is_seen or at > span.begin)):
                        del spans[tp]
                consumer.pause(*(tp for tp in consumer.assignment() if tp not in spans))
            yield found


@dataclass(slots=True)
class _Span:
    """What is read of a partition."""

    begin: int
    end: int  # offset after the last message
    is_seen: bool = False
    behind: int = 0  # messages in a row that lie behind the period

    @property
    def is_over(self) -> bool:
        """Whether nothing of the period is expected any more."""
        return self.behind >= MAX_BEHIND

    def take(
        self, records: Sequence[ConsumerRecord], period: Period, keys: Collection[bytes] | None
    ) -> list[ConsumerRecord]:
        """Return those of the next messages that belong to the period."""
        found: list[ConsumerRecord] = []
        for record in records:
            if self.is_over or record.offset >= self.end:
                break
            if record.timestamp >= period.end_ms:
                self.behind += 1
                continue
            self.behind = 0
            if keys is None or record.key in keys:
                found.append(record)
        return found


def _begin(
    consumer: KafkaConsumer, topics: Sequence[str], period: Period
) -> dict[TopicPartition, _Span]:
    """Seek to the beginning of a period; return what is to be read of each partition."""
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
    spans = {}
    for tp in tps:
        at = found.get(tp)
        if at is None or at.offset < 0:
            consumer.pause(tp)
            continue
        consumer.seek(tp, at.offset)
        spans[tp] = _Span(at.offset, ends[tp])
    return spans
