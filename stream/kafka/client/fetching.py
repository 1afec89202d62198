"""What both client libraries fetch is read by `RecordBatches`, not by their own parsers.

The one place that knows the insides of both fetchers. Each is given an empty answer where the
broker sent records, so that it does all else that it does with one (assignment, position, end of
the partition), and then the batches of the real one.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from stream.kafka.records.batches import Doubts, RecordBatches

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafka import KafkaConsumer

    from stream.kafka.records.unreadable import Unreadable

log = logging.getLogger(__name__)

_NO_ERROR, _CORRUPT = 0, 2  # Kafka's error codes
# A broker that cannot read its own disk says so at once and each time. What it says once may be
# over when it is asked again.
_AGAIN_S = 1.0


class Partitions:
    """Reads the answers to one consumer's fetches.

    Parameters
    ----------
    max_bytes : int > 0
        What a compressed batch may decompress to.
    passed_over : callable, optional
        Is called for each part that cannot be read, after it is logged. Without it, a message
        with an `Unreadable` value comes instead.
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
        self._doubts: dict[Any, Doubts] = defaultdict(Doubts)

    def read(
        self, tp: Any, position: int, error: int, highwater: int, data: Any
    ) -> RecordBatches | None:
        """Return the batches of a partition in an answer; None leaves it to the library.

        Parameters
        ----------
        tp : TopicPartition
            Of either library.
        position : int
            Kafka offset that was asked for.
        error : int
            Kafka's code for what is wrong.
        highwater : int
            Where the partition ends.
        data : bytes or memoryview, optional
            The batches.
        """
        note = None if self._passed_over is None else lambda *at: self._note(tp, *at)
        if error == _CORRUPT:
            return self._refused(tp, position, note)
        if error != _NO_ERROR or not data:
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
        self, tp: Any, position: int, note: Callable[[int, Unreadable], None] | None
    ) -> RecordBatches:
        """Ask again for a while, then step over it."""
        doubts = self._doubts[tp]
        if doubts.refused_since is None:
            doubts.refused_since = self._now()
        is_passed = doubts.passed is not None and doubts.passed.holds(position)
        if not is_passed and self._now() - doubts.refused_since < _AGAIN_S:
            return RecordBatches(b"", position, -1, max_bytes=self._max_bytes, doubts=doubts)
        return RecordBatches.refused_by_broker(position, doubts, note)

    def _note(self, tp: Any, offset: int, value: Unreadable) -> None:
        where = {"topic": tp.topic, "partition": tp.partition, "kafka_offset": offset}
        log.warning("passed over up to %d: %s", value.last_offset, value.reason, extra=where)
        assert self._passed_over is not None
        self._passed_over()


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
        answer.records, answer.error_code = b"", _NO_ERROR
        parsed = parse(completed)
        if parsed is not None:
            parsed.record_iterator = itertools.dropwhile(
                parsed._maybe_skip_record, parsed._unpack_records(tp, batches, None, None)
            )
        return parsed

    fetcher._parse_fetched_data = parse_fetched


class _Answer(NamedTuple):
    batches: RecordBatches
    position: int
    aborted: Any


def read_with_aiokafka(partitions: Partitions, consumer: Any) -> None:
    """Have aiokafka's consumer, once it has started, read what it fetches by `partitions`."""
    from aiokafka.consumer.fetcher import (  # type: ignore[import-untyped]
        FetchResult,
        PartitionRecords,
    )

    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request
    fetcher._client = client = _Client(fetcher._client, partitions)

    async def fetch_some(assignment: Any, node: Any, request: Any) -> bool:
        try:
            has_come: bool = await fetch(assignment, node, request)
        finally:
            answers = client.answers.pop(id(request), {})
        for tp, answer in answers.items() if assignment.active else ():
            state = assignment.state_value(tp)
            is_next = state.has_valid_position and state.position == answer.position
            if not is_next or tp in fetcher._records:
                continue
            records = PartitionRecords(
                tp,
                answer.batches,
                answer.aborted,
                answer.position,
                None,
                None,
                False,  # a batch knows that its checksum holds
                fetcher._isolation_level,
            )
            fetcher._records[tp] = FetchResult(
                tp,
                assignment=assignment,
                partition_records=records,
                backoff=fetcher._prefetch_backoff,
            )
            has_come = True
        return has_come

    fetcher._proc_fetch_request = fetch_some


class _Client:
    """aiokafka's client as its fetcher sees it: records are taken out of the answers.

    Attributes
    ----------
    answers : dict
        By the id of the request: what was in its answer.
    """

    def __init__(self, client: Any, partitions: Partitions) -> None:
        self._wrapped = client
        self._partitions = partitions
        self.answers: dict[int, dict[Any, _Answer]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    async def send(self, node: Any, request: Any) -> Any:
        """Send a request; of the answer to a fetch, keep what it fetched."""
        response = await self._wrapped.send(node, request)
        if type(request).__name__ == "FetchRequest":
            self.answers[id(request)] = self._take(request, response)
        return response

    def _take(self, request: Any, response: Any) -> dict[Any, _Answer]:
        from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]

        asked = {
            (topic, partition): position
            for topic, partitions in request.topics
            for partition, position, *_ in partitions
        }
        taken: dict[Any, _Answer] = {}
        topics = []
        for topic, partitions in response.topics:
            left = []
            for partition, error, highwater, *others, data in partitions:
                tp, position = TopicPartition(topic, partition), asked[topic, partition]
                batches = self._partitions.read(tp, position, error, highwater, data)
                if batches is not None:
                    error, data = _NO_ERROR, b""
                    taken[tp] = _Answer(batches, position, _aborted(response, others))
                left.append((partition, error, highwater, *others, data))
            topics.append((topic, left))
        response.topics = topics
        return taken


def _aborted(response: Any, others: list[Any]) -> Any:
    """Return the aborted transactions in one partition's answer, by the version's layout."""
    if response.API_VERSION < 4:
        return None
    return others[2] if response.API_VERSION >= 11 else others[-1]
