"""Partition 0 of the audio topic and the state topic, without Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from stream.kafka.checkpoint.partition_reader import PartitionReader
from stream.kafka.checkpoint.record import StationRecord, as_record, read_record
from stream.kafka.settings import KafkaSettings


def new_reader(
    begin: int = 0,
    records: Iterable[StationRecord] = (),
    *,
    rate: int = 16_000,
    refuse: Callable[[Any, str], None] = lambda *_: None,
    now: Callable[[], float] = lambda: 0.0,
    **options: Any,
) -> PartitionReader:
    """Return a reader that begins at an offset, with what the group has stored."""
    reader = PartitionReader(KafkaSettings.default(**options), rate, refuse, now=now)
    reader.begin(0, begin, list(records))
    return reader


def read_back(partition: int, record: StationRecord) -> StationRecord:
    """Return a record as it is read from the state topic after it was written."""
    key, value, _ = as_record("group", partition, record)
    place = {"topic": "state", "partition": partition, "offset": 0}
    found = read_record("group", SimpleNamespace(**place, key=key, value=value))
    assert found is not None
    assert not found.damaged
    return found
