"""The snapshots of a Faust worker: the records of `airsift run` in the same topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream.kafka.checkpoint.record import StationRecord, as_record, read_record
from stream.kafka.checkpoint.record_cache import RefusedRecords
from stream.kafka.client.state_topic import read_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.kafka.faust.producer import Outbox
    from stream.kafka.settings import KafkaSettings


class Snapshots:
    """The newest record of each station, as far as this worker knows.

    Parameters
    ----------
    settings : KafkaSettings
        Group and topic.
    progress : callable
        Told of each record that is restored.
    passed_over : callable
        Is called for each part of the topic that cannot be read.

    Attributes
    ----------
    unstored : Unstored
        What the topic has refused.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        progress: Callable[[], None],
        passed_over: Callable[[], None],
    ) -> None:
        self._passed_over = passed_over
        self._settings = settings
        self._group = settings.group
        self._topic = settings.topics.state
        self._progress = progress
        self.unstored = RefusedRecords()
        self._saved: dict[tuple[int, str], StationRecord] = {}
        self._next: dict[int, int] = {}  # up to where each partition was read
        self._damaged = 0

    def of(self, partition: int) -> list[StationRecord]:
        """Return what the last owner of a partition left."""
        return [saved for (p, _), saved in self._saved.items() if p == partition]

    async def write(self, settled: Sequence[tuple[int, StationRecord]], outbox: Outbox) -> None:
        """Store records of several partitions by `outbox`, and take note of them."""
        written = [
            (p, saved, outbox.put(self._topic, as_record(self._group, p, saved), p))
            for p, saved in settled
        ]
        await outbox.delivered()
        for partition, saved, parcel in written:
            self.unstored.note(partition, saved, refused=bool(parcel.code))
            if not parcel.code:
                self._note(partition, saved)

    def read_anew(self) -> None:
        """Read each partition from its beginning the next time: it is of another topic now."""
        self._next.clear()

    async def restore(self, partitions: Iterable[int]) -> None:
        """Read from the topic what is not known of these partitions.

        Raises
        ------
        BrokerError
            The topic cannot be read to its end.
        """
        since = {partition: self._next.get(partition, 0) for partition in partitions}
        # In a thread: the group must be looked after meanwhile.
        for record in await asyncio.to_thread(
            lambda: list(read_on(self._settings, since, self._passed_over))
        ):
            self._progress()
            self._next[record.partition] = record.offset + 1
            saved = read_record(self._group, record)
            if saved is not None:
                self._damaged += saved.damaged
                self._note(record.partition, saved)

    def take_damaged(self) -> int:
        """Return how many damaged records were read since it was asked last."""
        damaged, self._damaged = self._damaged, 0
        return damaged

    def _note(self, partition: int, saved: StationRecord) -> None:
        key = partition, saved.station
        before = self._saved.get(key)
        if saved.snapshot is None:
            self._saved.pop(key, None)
        # A worker that was taken for dead may write an old state after its successor's.
        elif before is None or not saved.is_before(before):
            self._saved[key] = saved
