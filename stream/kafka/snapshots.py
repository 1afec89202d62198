"""The snapshots of a Faust worker: a table whose changelog is the state topic of `airsift run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airsift.errors import BrokerError
from stream.kafka.client import broker_errors, connect_consumer
from stream.kafka.faust_app import bytes_table
from stream.kafka.saved import Saved, as_record, read_record
from stream.kafka.state import ensure_state_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream.kafka.outbox import Outbox
    from stream.kafka.settings import KafkaSettings


class Snapshots:
    """The newest record of each station, as far as this worker knows.

    Parameters
    ----------
    app : faust.App
        Restores the table after a rebalance.
    settings : KafkaSettings
        Group and topic.
    partitions : int > 0
        Of the state topic, see `prepare_state_topic`.
    progress : callable
        Told of each record that is restored.
    """

    def __init__(
        self, app: Any, settings: KafkaSettings, partitions: int, progress: Callable[[], None]
    ) -> None:
        self._group = settings.group
        self._topic = settings.topics.state
        self._progress = progress
        self._saved: dict[tuple[int, str], Saved] = {}
        self._table = bytes_table(app, "snapshots", self._topic, partitions, self._restore)
        self.error: BrokerError | None = None

    def of(self, partition: int) -> list[Saved]:
        """Return what the last owner of a partition left."""
        return [saved for (p, _), saved in self._saved.items() if p == partition]

    def write(self, settled: Sequence[tuple[int, Saved]], outbox: Outbox) -> None:
        """Put records of several partitions into the table, and into `outbox` for its changelog.

        The table's own assignment would choose the partition of the event that the agent is at.
        """
        for partition, saved in settled:
            record = as_record(self._group, partition, saved)
            outbox.put(self._topic, record, partition)
            if saved.snapshot is None:
                self._table.data.pop(record.key, None)
                self._saved.pop((partition, saved.station), None)
            else:
                self._table.data[record.key] = record.value
                self._saved[partition, saved.station] = saved

    async def _restore(self, event: Any) -> None:
        self._progress()
        try:
            saved = read_record(self._group, event.message)
        except BrokerError as error:  # Faust would log it and go on
            self.error = error
            return
        if saved is None:
            return
        # A worker that was taken for dead may write an old state after its successor's.
        key = event.message.partition, saved.station
        before = self._saved.get(key)
        if saved.snapshot is None:
            self._saved.pop(key, None)
        elif before is None or not saved.is_before(before):
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
            f"{needed}: airsift worker needs as many of one as of the other"
        )
    return needed
