"""The snapshots of a Faust worker: a table whose changelog is the state topic of `airsift run`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airsift.errors import BrokerError
from stream.kafka.client import broker_errors, connect_consumer
from stream.kafka.faust_app import bytes_table
from stream.kafka.saved import Saved, as_record, read_record
from stream.kafka.state import ensure_state_topic, read_on
from stream.kafka.unstored import Unstored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.kafka.outbox import Outbox
    from stream.kafka.settings import KafkaSettings


class Snapshots:
    """The newest record of each station, as far as this worker knows.

    Parameters
    ----------
    app : faust.App
        Whose table it is.
    settings : KafkaSettings
        Group and topic.
    partitions : int > 0
        Of the state topic, see `prepare_state_topic`.
    progress : callable
        Told of each record that is restored.
    passed_over : callable
        Is called for each part of the topic that cannot be read.

    Attributes
    ----------
    unstored : Unstored
        What the changelog has refused.
    """

    def __init__(
        self,
        app: Any,
        settings: KafkaSettings,
        partitions: int,
        progress: Callable[[], None],
        passed_over: Callable[[], None],
    ) -> None:
        self._passed_over = passed_over
        self._settings = settings
        self._group = settings.group
        self._topic = settings.topics.state
        self._progress = progress
        self.unstored = Unstored()
        self._saved: dict[tuple[int, str], Saved] = {}
        self._next: dict[int, int] = {}  # up to where each partition was read
        self._damaged = 0
        self._table = bytes_table(app, "snapshots", self._topic, partitions)

    def of(self, partition: int) -> list[Saved]:
        """Return what the last owner of a partition left."""
        return [saved for (p, _), saved in self._saved.items() if p == partition]

    async def write(self, settled: Sequence[tuple[int, Saved]], outbox: Outbox) -> None:
        """Put records of several partitions into the changelog by `outbox`, and into the table.

        The table's own assignment would choose the partition of the event that the agent is at.
        """
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
        """Read from the changelog what is not known of these partitions.

        Raises
        ------
        BrokerError
            The changelog cannot be read to its end.
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

    def _note(self, partition: int, saved: Saved) -> None:
        key, record = (partition, saved.station), as_record(self._group, partition, saved)
        before = self._saved.get(key)
        if saved.snapshot is None:
            self._table.data.pop(record.key, None)
            self._saved.pop(key, None)
        # A worker that was taken for dead may write an old state after its successor's.
        elif before is None or not saved.is_before(before):
            self._table.data[record.key] = record.value
            self._saved[key] = saved


def prepare_state_topic(settings: KafkaSettings) -> int:
    """Create the state topic if it is missing; return how many partitions it and the audio have.

    Raises
    ------
    BrokerError
        They are not as many: Faust gives a worker the same partitions of both.
    """
    consumer = connect_consumer(settings)
    try:
        with broker_errors(settings):
            needed = ensure_state_topic(settings, consumer)
            there = len(consumer.partitions_for_topic(settings.topics.state) or range(needed))
    finally:
        consumer.close()
    if there != needed:
        raise BrokerError(
            f"topic {settings.topics.state} has {there} partitions, {settings.topics.audio} has "
            f"{needed}: airsift worker needs as many of one as of the other; while no worker runs, "
            "add some to the audio's, or name another topic in kafka.topics.state"
        )
    return needed
