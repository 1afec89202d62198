"""The answers to one consumer's fetches, parsed by `RecordBatches` instead of the client library.

The client library receives an empty answer, with which it does everything else (assignment,
position, end of the partition), and then the batches of the real answer: see
`client/privates.py` and `faust/privates.py`.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from stream.kafka.records.batches import Doubts, RecordBatches

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.kafka.records.consumer_record import Unreadable

log = logging.getLogger(__name__)

NO_ERROR, _CORRUPT = 0, 2  # Kafka's error codes
# A broker that cannot read its disk returns this error at once and each time. A single such error
# may be gone at the next fetch.
_AGAIN_S = 1.0


class TopicPartition(Protocol):
    """A topic's partition, as both client libraries name it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...


class Partitions:
    """Reads the answers to one consumer's fetches.

    Parameters
    ----------
    max_bytes : int > 0
        Limit for a decompressed batch.
    passed_over : callable, optional
        Called for each unreadable part, after it is logged. Without it, a message with an
        `Unreadable` value is returned instead.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        max_bytes: int,
        passed_over: Callable[[], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._passed_over = passed_over
        self._now = now
        self._doubts: dict[TopicPartition, Doubts] = defaultdict(Doubts)

    def read(
        self,
        tp: TopicPartition,
        position: int,
        error: int,
        highwater: int,
        data: bytes | memoryview | None,
    ) -> RecordBatches | None:
        """Return the batches of a partition in an answer; None leaves it to the library.

        Parameters
        ----------
        tp : TopicPartition
            Of either library.
        position : int
            Kafka offset of the fetch.
        error : int
            Kafka's error code.
        highwater : int
            End of the partition.
        data : bytes or memoryview, optional
            The batches.
        """
        note = None if self._passed_over is None else lambda *at: self._note(tp, *at)
        if error == _CORRUPT:
            return self._refused(tp, position, note)
        if error != NO_ERROR or not data:
            return None
        return RecordBatches(
            data,
            position,
            highwater,
            max_bytes=self._max_bytes,
            doubts=self._doubts[tp],
            note=note,
        )

    def _refused(
        self, tp: TopicPartition, position: int, note: Callable[[int, Unreadable], None] | None
    ) -> RecordBatches:
        """Fetch again for a while, then skip the offset."""
        doubts = self._doubts[tp]
        if doubts.refused_since is None:
            doubts.refused_since = self._now()
        is_passed = doubts.passed is not None and doubts.passed.holds(position)
        if not is_passed and self._now() - doubts.refused_since < _AGAIN_S:
            return RecordBatches(b"", position, -1, max_bytes=self._max_bytes, doubts=doubts)
        return RecordBatches.refused_by_broker(position, doubts, note)

    def _note(self, tp: TopicPartition, offset: int, value: Unreadable) -> None:
        where = {"topic": tp.topic, "partition": tp.partition, "kafka_offset": offset}
        log.warning("passed over up to %d: %s", value.last_offset, value.reason, extra=where)
        assert self._passed_over is not None
        self._passed_over()
