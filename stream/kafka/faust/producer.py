"""Sends messages to Kafka through Faust's producer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faust.exceptions import ProducerSendError

from stream.kafka.client.refusals import is_refusal
from stream.kafka.faust.privates import aiokafka_producer
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable

    import faust
    from faust.types import ProducerT

    from stream.kafka.client.refusals import Refusals
    from stream.kafka.codec.message import Message

_RETRY_S = 0.05


@dataclass(slots=True)
class QueuedMessage:
    """A message that was given to `FaustProducer`."""

    topic: str
    message: Message
    partition: int | None
    answer: Awaitable[object] | None = None
    code: int = 0  # Kafka's error, if it was refused


class FaustProducer:
    """Queues messages at any time, and sends them in the event loop.

    What the broker refuses is counted and skipped. aiokafka knows only that a batch was refused, so
    its messages are sent again one by one, after those that were sent meanwhile.

    Parameters
    ----------
    app : faust.App
        The app whose producer sends.
    max_pending : int > 0
        Messages without an acknowledgement above which `send` waits.
    refusals : Refusals
        Records messages that are refused.
    """

    def __init__(self, app: faust.App, max_pending: int, refusals: Refusals) -> None:
        self._app = app
        self._max_pending = max_pending
        self._refusals = refusals
        self._queue: list[QueuedMessage] = []
        self._sent: list[QueuedMessage] = []

    @property
    def queued(self) -> int:
        """Messages whose acknowledgement has not been awaited yet."""
        return len(self._queue) + len(self._sent)

    def put(self, topic: str, message: Message, partition: int | None = None) -> QueuedMessage:
        """Queue a message; without a partition its key decides, as in Kafka's own clients.

        Returns
        -------
        QueuedMessage
            After `flush` it has the code of its refusal, if it was refused.
        """
        queued = QueuedMessage(topic, message, partition)
        self._queue.append(queued)
        return queued

    async def send(self) -> None:
        """Give what is queued to Faust's producer."""
        queue, self._queue = self._queue, []
        for queued in queue:
            await self._give(queued)
        if len(self._sent) > self._max_pending:
            await self._acknowledged()

    async def flush(self) -> None:
        """Wait until the broker has everything that it does not refuse.

        Raises
        ------
        KafkaError or ProducerSendError
            The broker does not answer.
        """
        await self.send()
        await self._acknowledged()

    async def _acknowledged(self) -> None:
        """Wait for the answers; send the messages of refused batches one by one."""
        sent, self._sent = self._sent, []
        # All are awaited: asyncio logs each error that nobody retrieves.
        answers = await asyncio.gather(
            *(each.answer for each in sent if each.answer), return_exceptions=True
        )
        for queued, answer in zip(sent, answers, strict=True):
            if not isinstance(answer, BaseException):
                self._refusals.accepted(queued.topic)
            elif not is_refusal(answer):
                raise answer
        for queued, answer in zip(sent, answers, strict=True):
            if isinstance(answer, BaseException):
                await self._send_alone(queued)

    async def _send_alone(self, queued: QueuedMessage) -> None:
        """Find out whether a message is refused by itself."""
        if not await self._give(queued):
            return
        self._sent.pop()
        assert queued.answer is not None
        try:
            await queued.answer
        except KafkaError as error:
            if not is_refusal(error):
                raise
            self._refuse(queued, error)
        else:
            self._refusals.accepted(queued.topic)

    async def _give(self, queued: QueuedMessage) -> bool:
        """Give a message to the producer; return False if it is refused at once."""
        key, value, headers = queued.message
        queued.code = self._refusals.expected_error(queued.topic, key, value, headers)
        if queued.code:
            self._count(queued)
            return False
        producer = await self._app.maybe_start_producer()
        await _wait_for_partition(producer, queued)
        try:
            queued.answer = await producer.send(
                queued.topic, key, value, queued.partition, None, list(headers)
            )
        except (KafkaError, ProducerSendError) as error:
            reason = error.__cause__ if isinstance(error, ProducerSendError) else error
            if reason is None or not is_refusal(reason):
                raise
            self._refuse(queued, reason)
            return False
        self._sent.append(queued)
        return True

    def _refuse(self, queued: QueuedMessage, error: BaseException) -> None:
        queued.code = self._refusals.learn(queued.topic, *queued.message, error)
        self._count(queued)

    def _count(self, queued: QueuedMessage) -> None:
        key, value, headers = queued.message
        size = batch_bytes(key, value, headers)
        self._refusals.count(queued.topic, key, size, queued.code)


async def _wait_for_partition(producer: ProducerT, queued: QueuedMessage) -> None:
    """Wait until the producer knows a partition that was added since its last metadata request."""
    if queued.partition is None:
        return
    inner = aiokafka_producer(producer)
    while queued.partition not in await inner.partitions_for(queued.topic):
        await inner.client.force_metadata_update()
        await asyncio.sleep(_RETRY_S)
