"""A Faust worker's view of the state topic, whose records `airsift run` shares."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream.kafka.checkpoint.record import StationRecord, as_record, read_record
from stream.kafka.checkpoint.record_cache import RefusedRecords
from stream.kafka.client.state_topic import read_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.kafka.faust.producer import FaustProducer
    from stream.kafka.settings import KafkaSettings


class StateTable:
    """The newest record of each station, as far as this worker has read.

    Parameters
    ----------
    settings : KafkaSettings
        Group and topic.
    progress : callable
        Called for each record that is read.
    on_unreadable : callable
        Called for each part of the topic that cannot be read.

    Attributes
    ----------
    unstored : RefusedRecords
        Records that the topic has refused.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        progress: Callable[[], None],
        on_unreadable: Callable[[], None],
    ) -> None:
        self._on_unreadable = on_unreadable
        self._settings = settings
        self._group = settings.group
        self._topic = settings.topics.state
        self._progress = progress
        self.unstored = RefusedRecords()
        self._records: dict[tuple[int, str], StationRecord] = {}
        self._next: dict[int, int] = {}  # next offset to read of each partition
        self._damaged = 0

    def of(self, partition: int) -> list[StationRecord]:
        """Return the records of a partition's stations."""
        return [record for (p, _), record in self._records.items() if p == partition]

    async def write(
        self, changed: Sequence[tuple[int, StationRecord]], producer: FaustProducer
    ) -> None:
        """Store records of several partitions."""
        written = [
            (p, record, producer.put(self._topic, as_record(self._group, p, record), p))
            for p, record in changed
        ]
        await producer.flush()
        for partition, record, queued in written:
            self.unstored.note(partition, record, refused=bool(queued.code))
            if not queued.code:
                self._note(partition, record)

    def reset(self) -> None:
        """Read each partition from its beginning the next time: the topic was recreated."""
        self._next.clear()

    async def restore(self, partitions: Iterable[int]) -> None:
        """Read the records of these partitions that were not read yet.

        Raises
        ------
        BrokerError
            The topic cannot be read to its end.
        """
        since = {partition: self._next.get(partition, 0) for partition in partitions}
        # In a thread: the consumer must keep sending heartbeats.
        for message in await asyncio.to_thread(
            lambda: list(read_on(self._settings, since, self._on_unreadable))
        ):
            self._progress()
            self._next[message.partition] = message.offset + 1
            record = read_record(self._group, message)
            if record is not None:
                self._damaged += record.damaged
                self._note(message.partition, record)

    def pop_damaged(self) -> int:
        """Return how many damaged records were read since the last call."""
        damaged, self._damaged = self._damaged, 0
        return damaged

    def _note(self, partition: int, record: StationRecord) -> None:
        key = partition, record.station
        before = self._records.get(key)
        if record.snapshot is None:
            self._records.pop(key, None)
        # A worker that was wrongly considered dead may write an old state after its successor.
        elif before is None or not record.is_before(before):
            self._records[key] = record
