"""Exactly once: events, snapshots and offsets of a checkpoint are one Kafka transaction.

What is sent belongs to the open transaction. `Transactions.commit` publishes it together with the
input offsets. The transaction of a worker that dies is aborted, and the next owner of its
partitions starts at the last committed one. A worker that was wrongly taken for dead is refused: by
its generation of the group when it commits offsets, or by its epoch when another worker has begun
with its id or the broker has aborted its transaction.

A subscriber that reads with ``isolation_level=read_committed`` receives each event once.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    InvalidProducerEpochError,
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
from stream.kafka.client.identity import Identity
from stream.kafka.client.net_client import CoordinatorClient
from stream.kafka.client.privates import has_ended, transaction_manager, wake_up
from stream.kafka.client.producer import (
    NOT_SENT,
    Arguments,
    Producer,
    SentMessage,
    TransactionAborted,
)
from stream.kafka.client.refusals import Refusals, is_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kafka.producer.transaction_manager import TransactionalRequestResult
    from kafka.structs import ConsumerGroupMetadata

    from stream.kafka.codec.headers import Headers
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_FENCED = (ProducerFencedError, InvalidProducerEpochError)
_MIN_VERSION = (2, 5)  # from here on Kafka checks a commit against the group's generation
_PROBE_S = 10.0
_MAX_ABORTED = 5  # transactions in a row with a message that is refused


class Transactions:
    """A `Producer` whose messages are published by `commit`, or never.

    Parameters
    ----------
    settings : KafkaSettings
        Broker, group and limits.

    Raises
    ------
    ConfigError
        The broker has no transactions that it honours.
    BrokerError
        No broker answers.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.refusals = Refusals(settings)
        self._aborted = False  # what was sent since the last commit will not be published
        self._aborted_in_a_row = 0
        # After a restart the same id aborts at once what the process left open.
        self._identity = Identity(settings)
        try:
            self._connect()
            try:
                self._probe()
            except BaseException:
                self._producer.close()
                raise
        except BaseException:
            self._identity.close()
            raise

    @property
    def client_id(self) -> str:
        """The ``client.id`` for the group's consumer, by which others find the id taken."""
        return self._identity.client_id

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        with self._errors():
            return self._producer.pending

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> SentMessage:
        """Send a message within the open transaction; see `Producer.send`."""
        self._begin()
        try:
            with self._errors():
                return self._producer.send(topic, key, value, headers, partition)
        except BrokerError:
            if not self._has_refusal():
                raise
            message = Arguments(topic, value, key, headers, partition)
            return SentMessage(message, None, code=NOT_SENT)

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Send what is given in the block together, after it."""
        with self._producer.batched():
            yield

    def flush(self) -> None:
        """Wait until the broker has everything, still unpublished. See `Producer.flush`.

        A refused message aborts the transaction: the next `commit` returns False, and when the
        message is sent again it is skipped.
        """
        with self._errors():
            try:
                self._producer.flush()
            except TransactionAborted as aborted:
                self._abort_and_learn(aborted.suspects)

    def commit(self, offsets: Mapping[TopicPartition, int], member: ConsumerGroupMetadata) -> bool:
        """Publish what was sent, and commit `offsets` with it.

        Parameters
        ----------
        offsets : mapping of TopicPartition to int
            First offset of each partition that is still needed.
        member : kafka.structs.ConsumerGroupMetadata
            The consumer that commits. The broker checks it against the group.

        Returns
        -------
        bool
            False if the partitions are no longer this member's: the transaction is aborted then.

        Raises
        ------
        BrokerError
            The broker does not answer, or another worker has taken over this one's id.
        """
        # Without a generation the broker would not check that the partitions are still ours.
        if self._aborted or member.generation_id < 0:
            self.abort()
            return False
        self._begin()
        wanted = {tp: OffsetAndMetadata(at, "", -1) for tp, at in offsets.items()}
        manager = self._manager
        with self._errors():
            try:
                self.flush()
                if self._aborted:
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
                if not has_ended(error):
                    raise
                log.warning(
                    "the broker has undone the transaction: it was open for longer than "
                    "kafka.transaction_timeout_s=%g, or its coordinator was away; what came since "
                    "the last commit is processed again",
                    self._settings.transaction_timeout_s,
                )
                self._producer.forget()
                self._producer.close()
                self._connect()
                return False
        self.open = False
        self._aborted_in_a_row = 0
        return True

    def abort(self) -> None:
        """Abort what was sent since the last commit."""
        self._aborted = False
        if self.open:
            self._producer.forget()
            with self._errors():
                self._wait(self._manager.begin_abort())
            self.open = False

    def close(self) -> None:
        """Abort what is open, and disconnect."""
        try:
            self.abort()
        except BrokerError as error:  # the broker aborts it after a timeout
            log.debug("the open transaction is left to the broker: %s", error)
        finally:
            self._producer.close()
            self._identity.close()

    def _connect(self) -> None:
        """Begin as a new producer with the same id: the broker aborts what the last one left."""
        settings = self._settings
        limits_s = (
            settings.request_timeout_s,
            settings.delivery_timeout_s,
            settings.transaction_timeout_s / 3,
        )
        self._kafka = connect_producer(
            settings,
            transactional_id=self._identity.name,
            transaction_timeout_ms=round(settings.transaction_timeout_s * 1000),
            # A coordinator that does not answer is replaced before it aborts the transaction.
            request_timeout_ms=round(1000 * min(limits_s)),
            kafka_client=CoordinatorClient,
        )
        self._manager = transaction_manager(self._kafka)
        self._producer = Producer(settings, self._kafka, refusals=self.refusals)
        self.open = False
        try:
            if self._kafka.config["api_version"] < _MIN_VERSION:
                raise ConfigError(self._refusal("is older than Kafka 2.5"))
            with self._errors():
                self._initialize()
        except BaseException:
            self._producer.close()
            raise

    def _initialize(self) -> None:
        """Wait until the broker has aborted what the last producer left, which may take long."""
        deadline = time.monotonic() + self._settings.delivery_timeout_s
        while True:
            try:
                self._kafka.init_transactions()
            except KafkaTimeoutError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def _has_refusal(self) -> bool:
        """Whether a message of the open transaction was refused, so that it accepts no more."""
        return self._manager.has_abortable_error() and is_refusal(self._manager.last_error)

    def _abort_and_learn(self, suspects: Sequence[SentMessage]) -> None:
        """Abort the transaction, and find out which messages of it are refused by themselves."""
        self._aborted_in_a_row += 1
        if self._aborted_in_a_row > _MAX_ABORTED:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} refuses something in each "
                "transaction; set kafka.exactly_once=false to go on without what it refuses"
            )
        self._reconnect()
        for sent in suspects:
            topic, value, key, headers, partition = sent.message[:5]
            if self.refusals.expected_error(topic, key, value, headers):
                continue
            self._begin()
            try:
                self._producer.send(topic, key, value, headers, partition)
                self._producer.flush()
            except TransactionAborted as aborted:
                [refused] = aborted.suspects
                assert refused.future is not None
                self.refusals.learn(topic, key, value, headers, refused.future.exception)
                self._reconnect()
        self.abort()
        self._aborted = True

    def _reconnect(self) -> None:
        """Abort what is open after a refusal.

        kafka-python has counted the refused message in its sequence and the broker has not, so the
        next one to that partition would be refused too.
        """
        self.abort()
        self._producer.close()
        self._connect()

    def _begin(self) -> None:
        if not self.open:
            with self._errors():
                self._kafka.begin_transaction()
            self.open = True

    def _wait(self, result: TransactionalRequestResult) -> None:
        """Wait for the coordinator's answer, with a time limit that kafka-python does not have."""
        wake_up(self._kafka)
        limit_s = self._settings.delivery_timeout_s
        if not result.wait(timeout_ms=round(limit_s * 1000)):
            raise KafkaTimeoutError(f"no answer within kafka.delivery_timeout_s={limit_s:g}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Report a worker whose id was taken over, where kafka-python reports its own state."""
        try:
            with broker_errors(self._settings, operation="Write"):
                yield
        except BrokerError as error:
            manager = self._manager
            causes = (error.__cause__, manager.last_error)
            # kafka-python would go on with a new epoch, as if no other worker had begun.
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
        """Refuse a broker that delivers what was aborted: its transactions are a pretence."""
        settings = self._settings
        topic = f"{settings.topics.state}.probe"
        one = settings.topics.model_copy(update={"partitions": 1})
        keep = {"retention.ms": "3600000"}
        rights = {topic: ["Read", "Write"]}
        ensure_topics(settings.model_copy(update={"topics": one}), rights, configs=keep)
        aborted = self.send(topic, b"probe", b"aborted", [], 0)
        self.flush()
        self.abort()
        committed = self.send(topic, b"probe", b"committed", [], 0)
        self.flush()
        with self._errors():
            self._wait(self._manager.begin_commit())
        self.open = False
        first, last = aborted.kafka_offset, committed.kafka_offset
        if first is None or last is None:
            raise ConfigError(self._refusal(f"does not take messages for {topic}"))
        seen = self._seen(TopicPartition(topic, 0), first, last)
        if first in seen:
            raise ConfigError(self._refusal("delivers transactions that were aborted"))
        if last not in seen:
            raise ConfigError(self._refusal("does not deliver transactions that were committed"))

    def _seen(self, tp: TopicPartition, first: int, last: int) -> set[int]:
        """Return the offsets from `first` to `last` that a subscriber receives."""
        seen: set[int] = set()
        with (
            closing(connect_consumer(self._settings, isolation_level="read_committed")) as consumer,
            broker_errors(self._settings),
        ):
            consumer.assign([tp])
            consumer.seek(tp, first)
            deadline = time.monotonic() + _PROBE_S
            while last not in seen and time.monotonic() < deadline:
                for records in consumer.poll(timeout_ms=200).values():
                    seen |= {record.offset for record in records}
        return seen

    def _refusal(self, reason: str) -> str:
        return (
            f"kafka.exactly_once=true: the Kafka broker at {self._settings.bootstrap_servers} "
            f"{reason}, so events could come twice; use Apache Kafka 2.5 or later, or set "
            "kafka.exactly_once=false"
        )
