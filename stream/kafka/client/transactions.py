"""Exactly once: events, snapshots and offsets of a checkpoint are one Kafka transaction.

What is sent belongs to the open transaction; `Transactions.commit` makes it count together with
the offsets of what it was made from. A worker that dies leaves a transaction that never counts,
and whoever goes on with its partitions begins at the last one that did. A worker that was taken
for dead is refused: by its generation of the group when it commits offsets, by its epoch when
another has begun under its id, or when the broker has given its transaction up.

A subscriber that reads with ``isolation_level=read_committed`` sees each event once.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    InvalidProducerEpochError,
    InvalidTxnStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
)

from airsift.errors import BrokerError, ConfigError
from stream.kafka.client.connect import (
    broker_errors,
    connect_consumer,
    connect_producer,
    ensure_topics,
)
from stream.kafka.client.coordinator import CoordinatorClient
from stream.kafka.client.identity import Identity
from stream.kafka.client.producer import SPOILT, Sender, Sent, Undone
from stream.kafka.client.refusals import Refusals, is_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream.kafka.codec.headers import Headers
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_FENCED = (ProducerFencedError, InvalidProducerEpochError)
_OLDEST = (2, 5)  # Kafka's version from which a commit is checked against the group's generation
_PROBE_S = 10.0
_MAX_UNDONE = 5  # transactions in a row with a message that is refused


def _is_over(error: KafkaError) -> bool:
    """Say whether the broker no longer has the transaction; kafka-python gives its name in text."""
    return InvalidTxnStateError.__name__ in f"{type(error).__name__} {error}"


class Transactions:
    """A `Sender` whose messages count from `commit` on, or never.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and limits.

    Raises
    ------
    ConfigError
        The broker has no transactions that hold.
    BrokerError
        No broker answers.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.refusals = Refusals(settings)
        self._undone = False  # what was sent since the last commit does not count
        self._undone_in_a_row = 0
        # An id that is the same after a restart ends at once what the process left open.
        self._identity = Identity(settings)
        try:
            self._connect()
            try:
                self._probe()
            except BaseException:
                self._sender.close()
                raise
        except BaseException:
            self._identity.close()
            raise

    @property
    def client_id(self) -> str:
        """What the group's consumer is to be called, so that others find the id taken."""
        return self._identity.client_id

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        with self._errors():
            return self._sender.pending

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Any:
        """Send a message within the open transaction; see `Sender.send`."""
        self._begin()
        try:
            with self._errors():
                return self._sender.send(topic, key, value, headers, partition)
        except BrokerError:
            if not self._is_spoilt():
                raise
            return Sent((topic, value, key, headers, partition, None), None, code=SPOILT)

    def flush(self) -> None:
        """Wait until the broker has everything; it does not count yet. See `Sender.flush`.

        A message that is refused undoes the transaction: the next `commit` returns False, and
        when the message comes again it is passed over.
        """
        with self._errors():
            try:
                self._sender.flush()
            except Undone as undone:
                self._undo(undone.suspects)

    def commit(self, offsets: Mapping[TopicPartition, int], member: Any) -> bool:
        """Make count what was sent, and commit `offsets` with it.

        Parameters
        ----------
        offsets : mapping of TopicPartition to int
            First offset of each partition that is still needed.
        member : kafka.structs.ConsumerGroupMetadata
            Who commits. The broker checks it against the group.

        Returns
        -------
        bool
            False if the partitions are no longer this member's: nothing counts then.

        Raises
        ------
        BrokerError
            The broker does not answer, or has taken this worker's place from it.
        """
        # Without a generation nobody would check whether the partitions are still ours.
        if self._undone or member.generation_id < 0:
            self.abort()
            return False
        self._begin()
        wanted = {tp: OffsetAndMetadata(at, "", -1) for tp, at in offsets.items()}
        manager = self._producer._transaction_manager
        with self._errors():
            try:
                self.flush()
                if self._undone:
                    self.abort()
                    return False
                if wanted:
                    self._wait(manager.send_offsets_to_transaction(wanted, member))
                self._wait(manager.begin_commit())
            except CommitFailedError as error:
                log.info("the transaction is undone, its partitions have moved: %s", error)
                self._wait(manager.begin_abort())
                self.open = False
                return False
            except KafkaError as error:
                if not _is_over(error):
                    raise
                log.warning(
                    "the broker has undone the transaction: it was open for longer than "
                    "kafka.transaction_timeout_s=%g, or its coordinator was away; what came since "
                    "the last commit is processed again",
                    self._settings.transaction_timeout_s,
                )
                self._sender.forget()
                self._sender.close()
                self._connect()
                return False
        self.open = False
        self._undone_in_a_row = 0
        return True

    def abort(self) -> None:
        """Undo what was sent since the last commit."""
        self._undone = False
        if self.open:
            self._sender.forget()
            with self._errors():
                self._wait(self._producer._transaction_manager.begin_abort())
            self.open = False

    def close(self) -> None:
        """Undo what is open, and disconnect."""
        try:
            self.abort()
        except BrokerError as error:  # the broker does so by itself after a while
            log.debug("the open transaction is left to the broker: %s", error)
        finally:
            self._sender.close()
            self._identity.close()

    def _connect(self) -> None:
        """Begin as a new producer of the same name: the broker undoes what the last one left."""
        settings = self._settings
        limits_s = (
            settings.request_timeout_s,
            settings.delivery_timeout_s,
            settings.transaction_timeout_s / 3,
        )
        self._producer = connect_producer(
            settings,
            transactional_id=self._identity.name,
            transaction_timeout_ms=round(settings.transaction_timeout_s * 1000),
            # A coordinator that does not answer is replaced before it gives the transaction up.
            request_timeout_ms=round(1000 * min(limits_s)),
            kafka_client=CoordinatorClient,
        )
        self._sender = Sender(settings, self._producer, refusals=self.refusals)
        self.open = False
        try:
            if self._producer.config["api_version"] < _OLDEST:
                raise ConfigError(self._refusal("is older than Kafka 2.5"))
            with self._errors():
                self._initialize()
        except BaseException:
            self._sender.close()
            raise

    def _initialize(self) -> None:
        """Wait until the broker has undone what the last one left; a busy one may take long."""
        deadline = time.monotonic() + self._settings.delivery_timeout_s
        while True:
            try:
                self._producer.init_transactions()
            except KafkaTimeoutError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _is_spoilt(self) -> bool:
        """Whether a message of the open transaction was refused, so that it takes no more."""
        manager = self._producer._transaction_manager
        return manager.has_abortable_error() and is_refusal(manager.last_error)

    def _undo(self, suspects: Sequence[Sent]) -> None:
        """Undo the transaction, and find out which messages of it are refused by themselves."""
        self._undone_in_a_row += 1
        if self._undone_in_a_row > _MAX_UNDONE:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} refuses something in each "
                "transaction; set kafka.exactly_once=false to go on without what it refuses"
            )
        self._begin_anew()
        for sent in suspects:
            topic, value, key, headers, partition = sent.message[:5]
            if self.refusals.foresees(topic, key, value, headers):
                continue
            self._begin()
            try:
                self._sender.send(topic, key, value, headers, partition)
                self._sender.flush()
            except Undone as undone:
                error = undone.suspects[0].future.exception
                self.refusals.learn(topic, key, value, headers, error)
                self._begin_anew()
        self.abort()
        self._undone = True

    def _begin_anew(self) -> None:
        """Undo what is open after a refusal.

        kafka-python has counted the message that was refused, and the broker has not: its next
        one to that partition would be refused too.
        """
        self.abort()
        self._sender.close()
        self._connect()

    def _begin(self) -> None:
        if not self.open:
            with self._errors():
                self._producer.begin_transaction()
            self.open = True

    def _wait(self, result: Any) -> None:
        """Wait for an answer of the coordinator; kafka-python would for ever."""
        self._producer._sender.wakeup()
        limit_s = self._settings.delivery_timeout_s
        if not result.wait(timeout_ms=round(limit_s * 1000)):
            raise KafkaTimeoutError(f"no answer within kafka.delivery_timeout_s={limit_s:g}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell of a worker whose place is taken, where kafka-python tells of its own states."""
        try:
            with broker_errors(self._settings, operation="Write"):
                yield
        except BrokerError as error:
            manager = self._producer._transaction_manager
            causes = (error.__cause__, manager.last_error)
            # kafka-python would try to go on under a new epoch, as if nobody else had begun.
            if not manager.is_bumping_epoch() and not any(isinstance(e, _FENCED) for e in causes):
                raise
            settings = self._settings
            raise BrokerError(
                f"this worker's place is taken: another one runs with kafka.transactional_id="
                f"{self._identity.name!r}, or this one stood still for longer than "
                f"kafka.transaction_timeout_s={settings.transaction_timeout_s:g}; what it had not "
                "committed is undone, and it ends to be started again"
            ) from error

    def _probe(self) -> None:
        """Refuse a broker that delivers what was undone: its transactions are a pretence."""
        settings = self._settings
        topic = f"{settings.topics.state}.probe"
        one = settings.topics.model_copy(update={"partitions": 1})
        keep = {"retention.ms": "3600000"}
        rights = {topic: ["Read", "Write"]}
        ensure_topics(settings.model_copy(update={"topics": one}), rights, configs=keep)
        undone = self.send(topic, b"probe", b"undone", [], 0)
        self.flush()
        self.abort()
        done = self.send(topic, b"probe", b"done", [], 0)
        self.flush()
        with self._errors():
            self._wait(self._producer._transaction_manager.begin_commit())
        self.open = False
        first, last = undone.kafka_offset, done.kafka_offset
        if first is None or last is None:
            raise ConfigError(self._refusal(f"does not take messages for {topic}"))
        seen = self._seen(TopicPartition(topic, 0), first, last)
        if first in seen:
            raise ConfigError(self._refusal("delivers transactions that were aborted"))
        if last not in seen:
            raise ConfigError(self._refusal("does not deliver transactions that were committed"))

    def _seen(self, tp: TopicPartition, first: int, last: int) -> set[int]:
        """Return the offsets from `first` to `last` that a subscriber is given."""
        seen: set[int] = set()
        consumer = connect_consumer(self._settings, isolation_level="read_committed")
        try:
            with broker_errors(self._settings):
                consumer.assign([tp])
                consumer.seek(tp, first)
                deadline = time.monotonic() + _PROBE_S
                while last not in seen and time.monotonic() < deadline:
                    for records in consumer.poll(timeout_ms=200).values():
                        seen |= {record.offset for record in records}
        finally:
            consumer.close()
        return seen

    def _refusal(self, reason: str) -> str:
        return (
            f"kafka.exactly_once=true: the Kafka broker at {self._settings.bootstrap_servers} "
            f"{reason}, so events could come twice; use Apache Kafka 2.5 or later, or set "
            "kafka.exactly_once=false"
        )
