"""Every private name of kafka-python that airsift uses; no other file touches one.

kafka-python has no public way to do what these functions do. Their names may change in any release,
so pyproject.toml sets an upper bound, and a contract test looks each of them up in the installed
version. `PRIVATE_NAMES` is the list. `has_ended` reads the text of an error for the same reason.
"""

from __future__ import annotations

import itertools
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka.errors import InvalidTxnStateError, KafkaConnectionError, KafkaError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol.frame import KafkaBytes

from stream.kafka.records.partitions import NO_ERROR

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.consumer.fetcher import CompletedFetch, PartitionRecords
    from kafka.future import Future
    from kafka.producer.transaction_manager import TransactionManager

    from stream.kafka.records.partitions import Partitions

# Paths from an object of kafka-python, and what each is used for.
PRIVATE_NAMES = {
    "KafkaConsumer._manager._conns": "when each connection last received something",
    "KafkaConsumer._subscription.assignment": "the position after marks of transactions",
    "KafkaConsumer._fetcher._parse_fetched_data": "reading damaged batches around their damage",
    "Fetcher.PartitionRecords._maybe_skip_record": "the same",
    "Fetcher.PartitionRecords._unpack_records": "the same",
    "KafkaConsumer._coordinator._join_task": "keeping an assignment that arrives between polls",
    "KafkaConsumer._coordinator.join_group_async": "the same",
    "KafkaConsumer._coordinator.need_rejoin": "the same",
    "KafkaConsumer._coordinator.rejoining": "the same",
    "KafkaConsumer._coordinator._subscription.partitions_auto_assigned": "the same",
    "KafkaProducer._metadata.request_update": "learning of added partitions at once",
    "KafkaProducer._sender.add_topic": "keeping a topic in the metadata requests",
    "KafkaProducer._sender.force_close": "ending the sender thread after a failed close",
    "KafkaProducer._sender.wakeup": "sending a request of a transaction at once, and events in "
    "batches",
    "KafkaProducer._transaction_manager": "waiting for a transaction with a time limit",
    "KafkaAdminClient._manager.cluster.cluster_id": "the cluster's id without a further right",
    "KafkaTCPTransport._sock_recv": "reading sockets in large pieces",
    "KafkaTCPTransport._sock": "the same",
    "KafkaBytes._idx": "copying what was fetched once",
}

_READ_BYTES = 256 * 1024
_VIEWED_BYTES = 64 * 1024
_WOULD_BLOCK = (
    BlockingIOError,
    InterruptedError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)


def read_large_pieces() -> None:
    """Have kafka-python read sockets in pieces of 256 kB, and copy what it has fetched once.

    Its own pieces are 4 kB, eight for a second of one station. Each is a system call, behind which
    its thread waits until the loop lets go of the interpreter.
    """
    KafkaTCPTransport._sock_recv = KafkaSSLTransport._sock_recv = _receive
    KafkaBytes.read = _read_bytes


def _receive(transport: KafkaTCPTransport) -> tuple[bytes, KafkaError | None]:
    """Return a piece of what waits in a socket, or why nothing more can come."""
    try:
        if piece := transport._sock.recv(_READ_BYTES):
            return piece, None
    except _WOULD_BLOCK:
        return b"", None
    except Exception as reason:
        return b"", KafkaConnectionError(reason)
    return b"", KafkaConnectionError("socket disconnected")


def _read_bytes(buffer: KafkaBytes, nbytes: int | None = None) -> bytes | memoryview:
    """Return the next bytes of an answer; as a view of it where they are many."""
    start = buffer._idx
    end = len(buffer) if nbytes is None else min(start + nbytes, len(buffer))
    buffer._idx = end
    if end - start >= _VIEWED_BYTES:
        return memoryview(buffer)[start:end]
    with memoryview(buffer) as view:
        return bytes(view[start:end])


def last_reads(consumer: KafkaConsumer) -> list[float]:
    """Return when each open connection last received something, on the monotonic clock."""
    return [
        connection.transport.last_read
        for connection in list(consumer._manager._conns.values())
        if connection.connected
    ]


def is_read_to_end(consumer: KafkaConsumer, tp: TopicPartition) -> bool:
    """Whether `poll` has returned all of an assigned partition that the client knows of.

    The client's position lies after marks of transactions, which are not messages.
    """
    state = consumer._subscription.assignment[tp]
    known = state.position is not None and state.highwater is not None
    return bool(known and state.position.offset >= state.highwater)


def cluster_id(admin: KafkaAdminClient) -> str:
    """Return the cluster's id as received on connecting: a request for it needs more rights."""
    return admin._manager.cluster.cluster_id or ""


def update_metadata(producer: KafkaProducer) -> None:
    """Have a producer request the topics' partitions again."""
    producer._metadata.request_update()


def keep_topic(producer: KafkaProducer, topic: str) -> None:
    """Have a producer request the metadata of a topic with each update.

    It learns all topics when it connects, but later requests only those that it had to request by
    name. It then forgets the others, and messages for them are never sent.
    """
    producer._sender.add_topic(topic)


def force_close(producer: KafkaProducer) -> None:
    """End a producer's thread, which keeps running where `close` fails to flush."""
    producer._sender.force_close()


@contextmanager
def waking_up_once(producer: KafkaProducer) -> Iterator[None]:
    """Have a producer's thread wake up after the block, instead of with each new batch.

    Each wake-up is a system call, after which both threads contend for the interpreter.
    """
    sender = producer._sender
    sender.wakeup = _stay_asleep
    try:
        yield
    finally:
        del sender.wakeup
        sender.wakeup()


def _stay_asleep() -> None:
    """Do nothing."""


def wake_up(producer: KafkaProducer) -> None:
    """Have a producer's thread send what waits now."""
    producer._sender.wakeup()


def transaction_manager(producer: KafkaProducer) -> TransactionManager:
    """Return what a producer's transaction methods wait for without a time limit."""
    return producer._transaction_manager


def has_ended(error: KafkaError) -> bool:
    """Whether the broker no longer has the transaction.

    kafka-python raises a plain KafkaError here, with the name of the broker's error in its text.
    """
    return InvalidTxnStateError.__name__ in f"{type(error).__name__} {error}"


class _Join:
    """A finished join of the group whose assignment no `poll` has taken yet."""

    is_done = False

    def __init__(self, answer: Future) -> None:
        self._answer = answer
        self.add_callback = answer.add_callback
        self.add_errback = answer.add_errback

    def __await__(self) -> Generator[object, object, object]:
        answer: Generator[object, object, object] = self._answer.__await__()
        return answer


def keep_late_assignments(consumer: KafkaConsumer) -> None:
    """Have `poll` take an assignment that arrived since the `poll` before.

    kafka-python discards it and joins again. Where the group takes as long to assign as the
    application waits between polls, the member never gets a partition.

    Worse where the member joins again because its topics have other partitions than the ones it
    assigned as the leader: once it has assigned the new ones, kafka-python sees no reason to join
    any more, and a `poll` whose time ended meanwhile is the last that looked for the answer. The
    member then has no partition for ever, without a message.
    """
    coordinator = consumer._coordinator
    join, must_join = coordinator.join_group_async, coordinator.need_rejoin

    async def join_group(timeout_ms: float | None = None) -> bool:
        task = coordinator._join_task
        if task is not None and task.is_done:
            coordinator._join_task = _Join(task)
        joined: bool = await join(timeout_ms)
        return joined

    def need_rejoin() -> bool:
        assigned_by_the_group = coordinator._subscription.partitions_auto_assigned()
        return bool(must_join() or (coordinator.rejoining and assigned_by_the_group))

    coordinator.join_group_async = join_group
    coordinator.need_rejoin = need_rejoin


def read_with(partitions: Partitions, consumer: KafkaConsumer) -> None:
    """Have a consumer parse fetched batches with `partitions`, which reads around damage."""
    fetcher = consumer._fetcher
    parse = fetcher._parse_fetched_data

    def parse_fetched(completed: CompletedFetch) -> PartitionRecords | None:
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
