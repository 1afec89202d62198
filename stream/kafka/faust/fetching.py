"""aiokafka's fetcher, given what `Partitions` reads instead of what it parses itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream.kafka.records.partitions import NO_ERROR

if TYPE_CHECKING:
    from stream.kafka.records.batches import RecordBatches
    from stream.kafka.records.partitions import Partitions


class _Answer(NamedTuple):
    batches: RecordBatches
    position: int
    aborted: Any


def read_with(partitions: Partitions, consumer: Any) -> None:
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
                    error, data = NO_ERROR, b""
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
