"""Every private name of Faust, mode and aiokafka that airsift uses; no other file touches one.

Neither library has a public way to do what these functions do. Their names may change in any
release, so pyproject.toml sets upper bounds, and a contract test looks each of them up in the
installed versions. `PRIVATE_NAMES` is the list.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import aiokafka.client  # type: ignore[import-untyped]
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords  # type: ignore[import-untyped]
from aiokafka.protocol.metadata import MetadataRequest  # type: ignore[import-untyped]
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped]

from stream.kafka.health import BROKER_DELAYS
from stream.kafka.records.partitions import NO_ERROR, Partitions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import faust
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.client import AIOKafkaClient
    from aiokafka.consumer.group_coordinator import (  # type: ignore[import-untyped]
        GroupCoordinator,
    )
    from aiokafka.consumer.subscription_state import Assignment  # type: ignore[import-untyped]
    from aiokafka.protocol.api import Request, Response  # type: ignore[import-untyped]
    from aiokafka.protocol.fetch import FetchRequest, FetchResponse  # type: ignore[import-untyped]
    from faust.transport.drivers.aiokafka import (
        AIOKafkaConsumerThread,
        Consumer,
        Producer,
        Transport,
    )
    from faust.types import ProducerT
    from faust.types.tuples import TP

    from stream.kafka.records.batches import RecordBatches
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

# Paths from an object of Faust's or aiokafka's, and what each is used for.
PRIVATE_NAMES = {
    "App._create_directories": "starting on a disk that is full or read-only",
    "App.consumer._read_offset": "reading messages again after a seek",
    "App.consumer._commit": "committing offsets without acknowledging messages",
    "App.consumer._thread": "seeking and leaving the group in the thread that fetches",
    "App.consumer._thread._consumer": "reaching aiokafka's consumer",
    "App.consumer._thread._create_worker_consumer": "setting options that Faust does not pass on",
    "App.producer._new_producer": "the same",
    "App.producer._producer": "reaching aiokafka's producer",
    "AIOKafkaConsumer._fetch_max_wait_ms": "an option that Faust does not pass on",
    "AIOKafkaConsumer._client_rack": "the same",
    "AIOKafkaConsumer._client._conns": "when each connection last received something",
    "AIOKafkaConsumer._coordinator": "requesting a rebalance, and the member's id",
    "AIOKafkaConsumer._coordinator._pending_exception": "why a join was refused",
    "AIOKafkaConsumer._subscription.subscription": "the position after marks of transactions",
    "AIOKafkaConsumer._fetcher._proc_fetch_request": "reading damaged batches around their damage",
    "AIOKafkaConsumer._fetcher._client": "the same",
    "AIOKafkaConsumer._fetcher._records": "the same",
    "AIOKafkaConsumer._fetcher._isolation_level": "the same",
    "AIOKafkaConsumer._fetcher._prefetch_backoff": "the same",
    "AIOKafkaConnection._last_action": "when a connection last received something",
    "AIOKafkaProducer.client._request_timeout_ms": "a limit for requests apart from messages'",
    "AIOKafkaProducer._sender._request_timeout_ms": "the same",
}


def prepare_app(app: faust.App, settings: KafkaSettings) -> None:
    """Have an app make no directories, keep no offsets, and use the settings Faust cannot pass."""
    patch_aiokafka()
    app._create_directories = lambda: None  # type: ignore[method-assign]
    faust_consumer(app)._read_offset = _NoOffsets()  # type: ignore[assignment]
    _prepare_consumer(fetch_thread(app), settings)
    _prepare_producer(cast("Producer", app.producer), settings)


def faust_consumer(app: faust.App) -> Consumer:
    """Return an app's consumer by its driver's type, which has more than Faust's interface."""
    return cast("Consumer", app.consumer)


def fetch_thread(app: faust.App) -> AIOKafkaConsumerThread:
    """Return the thread in which Faust's consumer fetches; what is fetched belongs to it."""
    return faust_consumer(app)._thread


def aiokafka_producer(producer: ProducerT) -> AIOKafkaProducer:
    """Return the producer that Faust's producer wraps."""
    return cast("Producer", producer)._producer


def coordinator(app: faust.App) -> GroupCoordinator | None:
    """Return the part of aiokafka that joins the group; None before it exists."""
    return getattr(_consumer(app), "_coordinator", None)


def join_error(coordinator: GroupCoordinator | None) -> BaseException | None:
    """Return why the last join was refused; None for no refusal."""
    error: BaseException | None = getattr(coordinator, "_pending_exception", None)
    return error


async def commit(app: faust.App, offsets: Mapping[TP, int]) -> bool:
    """Commit offsets; return False during a rebalance.

    The public way is to acknowledge messages: Faust takes a jump between two offsets for a hole in
    the topic, counts its offsets as acknowledged, and may commit beyond what was processed.
    """
    return bool(await faust_consumer(app)._commit(offsets))


def is_read_to_end(app: faust.App, tp: TP, end: int) -> bool:
    """Whether aiokafka has returned everything of a partition before `end`.

    Its position lies after marks of transactions, which are not messages.
    """
    consumer = _consumer(app)
    assert consumer is not None
    state = consumer._subscription.subscription.assignment.state_value(tp)
    return bool(state.has_valid_position and state.position >= end)


def last_reads(app: faust.App) -> list[float]:
    """Return when each open connection of the consumer last received something."""
    consumer = _consumer(app)
    connections = list(consumer._client._conns.values()) if consumer else []
    return [each._last_action for each in connections if each.connected()]


def _consumer(app: faust.App) -> AIOKafkaConsumer | None:
    return getattr(fetch_thread(app), "_consumer", None)


def patch_aiokafka() -> None:
    """Have aiokafka create no topics, and note the waits that a broker imposes."""
    if isinstance(aiokafka.client.MetadataRequest, partial):
        return
    # A broker with ``auto.create.topics.enable`` would create a deleted topic again, with one
    # partition, at each request for its metadata.
    aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)
    send = aiokafka.client.AIOKafkaClient.send

    async def send_and_note(
        client: AIOKafkaClient, *arguments: object, **options: object
    ) -> Response:
        answer = await send(client, *arguments, **options)
        BROKER_DELAYS.throttled(getattr(answer, "throttle_time_ms", 0))
        if type(answer).__name__.startswith("ProduceResponse"):
            for topic, partitions in answer.topics:
                for _, code, *_ in partitions:
                    BROKER_DELAYS.not_written(topic, code)
        return answer

    aiokafka.client.AIOKafkaClient.send = send_and_note


def log_stray_error(_: object, context: Mapping[str, Any]) -> None:
    """Handle what nobody waits for any more: it ends the worker in other ways, in one line."""
    log.debug("asyncio: %s", context.get("message"), exc_info=context.get("exception"))


def _prepare_consumer(thread: AIOKafkaConsumerThread, settings: KafkaSettings) -> None:
    """Have the broker answer within `fetch_wait_ms` and answers read by `Partitions`.

    Faust passes no option for either; its own wait is 1.5 s.
    """
    create = thread._create_worker_consumer

    def create_prepared(transport: Transport) -> AIOKafkaConsumer:
        consumer = create(transport)
        consumer._fetch_max_wait_ms = settings.fetch_wait_ms
        consumer._client_rack = settings.client_rack or None
        start = consumer.start

        async def start_prepared() -> None:
            # The thread has a loop of its own.
            asyncio.get_running_loop().set_exception_handler(log_stray_error)
            await start()
            read_with(Partitions(settings.wire.max_batch_bytes), consumer)

        consumer.start = start_prepared
        return consumer

    thread._create_worker_consumer = create_prepared  # type: ignore[method-assign]


def _prepare_producer(producer: Producer, settings: KafkaSettings) -> None:
    """Have a request to a frozen broker time out before its messages do.

    Another broker may lead the partition by then. aiokafka has one limit for both.
    """
    create = producer._new_producer
    limit_ms = round(1000 * min(settings.request_timeout_s, settings.delivery_timeout_s))

    def create_prepared(transactional_id: str | None = None) -> AIOKafkaProducer:
        made = create(transactional_id)
        made.client._request_timeout_ms = limit_ms
        made._sender._request_timeout_ms = limit_ms
        return made

    producer._new_producer = create_prepared  # type: ignore[method-assign]


class _NoOffsets:
    """Replaces the dict of offsets that Faust has read, by one that stays empty.

    After a seek, Faust discards messages that it reads again if an older one is still on its way.
    `FaustConsumer` detects duplicates by their offset instead.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, kafka_offset: int | None) -> None:
        pass

    def pop(self, tp: TP, default: None = None) -> None:
        """Return None."""

    def update(self, offsets: Mapping[TP, int | None]) -> None:
        """Ignore `offsets`."""

    def keys(self) -> tuple[TP, ...]:
        """Return no partitions."""
        return ()


# The (producer id, first offset) of each aborted transaction; None where all messages are read.
Aborted: TypeAlias = "Sequence[tuple[int, int]] | None"


class _Answer(NamedTuple):
    batches: RecordBatches
    position: int
    aborted: Aborted


def read_with(partitions: Partitions, consumer: AIOKafkaConsumer) -> None:
    """Have a started consumer parse fetched batches with `partitions`."""
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request
    fetcher._client = client = _FetchClient(fetcher._client, partitions)

    async def fetch_some(assignment: Assignment, node: int, request: FetchRequest) -> bool:
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
                False,  # `RecordBatches` has checked the checksums
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


class _FetchClient:
    """Wraps aiokafka's client for its fetcher, and takes the records out of fetch responses.

    Attributes
    ----------
    answers : dict
        By the id of the request: the records of its response.
    """

    def __init__(self, client: AIOKafkaClient, partitions: Partitions) -> None:
        self._wrapped = client
        self._partitions = partitions
        self.answers: dict[int, dict[TopicPartition, _Answer]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._wrapped, name)

    async def send(self, node: int, request: Request) -> Response:
        """Send a request; keep the records of the response to a fetch."""
        response = await self._wrapped.send(node, request)
        if type(request).__name__ == "FetchRequest":
            self.answers[id(request)] = self._read_records(request, response)
        return response

    def _read_records(
        self, request: FetchRequest, response: FetchResponse
    ) -> dict[TopicPartition, _Answer]:
        requested = {
            (topic, partition): position
            for topic, partitions in request.topics
            for partition, position, *_ in partitions
        }
        taken: dict[TopicPartition, _Answer] = {}
        topics = []
        for topic, partitions in response.topics:
            left = []
            for partition, error, highwater, *others, data in partitions:
                tp, position = TopicPartition(topic, partition), requested[topic, partition]
                batches = self._partitions.read(tp, position, error, highwater, data)
                if batches is not None:
                    error, data = NO_ERROR, b""
                    taken[tp] = _Answer(batches, position, _aborted(response, others))
                left.append((partition, error, highwater, *others, data))
            topics.append((topic, left))
        response.topics = topics
        return taken


def _aborted(response: FetchResponse, others: list[Aborted]) -> Aborted:
    """Return one partition's aborted transactions, by the layout of the response's version."""
    if response.API_VERSION < 4:
        return None
    return others[2] if response.API_VERSION >= 11 else others[-1]
