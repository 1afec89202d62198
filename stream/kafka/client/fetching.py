"""kafka-python's fetcher, given what `Partitions` reads instead of what it parses itself."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from stream.kafka.records.partitions import NO_ERROR

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from stream.kafka.records.partitions import Partitions


def read_with(partitions: Partitions, consumer: KafkaConsumer) -> None:
    """Have kafka-python's consumer read what it fetches by `partitions`."""
    fetcher = consumer._fetcher
    parse = fetcher._parse_fetched_data

    def parse_fetched(completed: Any) -> Any:
        tp, answer = completed.topic_partition, completed.partition_data
        batches = partitions.read(
            tp, completed.fetched_offset, answer.error_code, answer.high_watermark, answer.records
        )
        if batches is None:
            return parse(completed)
        answer.records, answer.error_code = b"", NO_ERROR
        parsed = parse(completed)
        if parsed is not None:
            parsed.record_iterator = itertools.dropwhile(
                parsed._maybe_skip_record, parsed._unpack_records(tp, batches, None, None)
            )
        return parsed

    fetcher._parse_fetched_data = parse_fetched
