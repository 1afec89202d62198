"""Messages on their way to the broker through Faust's producer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from faust.exceptions import ProducerSendError

from stream.kafka.client.refusals import is_refusal
from stream.kafka.records.size import batch_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from stream.kafka.client.refusals import Refusals
    from stream.kafka.codec.message import Message


_AGAIN_S = 0.05


@dataclass(slots=True)
class Parcel:
    """A message that was put into the outbox."""

    topic: str
    message: Message
    partition: int | None
    answer: Awaitable[Any] | None = None
    code: int = 0  # Kafka's error, where it was refused


class Outbox:
    """Takes messages at any time, and sends them when its loop comes round.

    What the broker refuses is counted and passed over. aiokafka knows only that a batch was
    refused, so its messages are sent again one by one, behind what was sent meanwhile.

    Parameters
    ----------
    app : faust.App
        Whose producer sends.
    most : int > 0
        Messages that may be on their way before `send` waits.
    refusals : Refusals
        Is told of messages that are refused.
    """

    def __init__(self, app: Any, most: int, refusals: Refusals) -> None:
        self._app = app
        self._most = most
        self._refusals = refusals
        self._waiting: list[Parcel] = []
        self._sent: list[Parcel] = []

    @property
    def queued(self) -> int:
        """Messages that the broker has not acknowledged, as far as anyone has looked."""
        return len(self._waiting) + len(self._sent)

    def put(self, topic: str, message: Message, partition: int | None = None) -> Parcel:
        """Take a message; without a partition its key decides, as for Kafka's own clients.

        Returns
        -------
        Parcel
            After `delivered`, it says whether the message was refused.
        """
        parcel = Parcel(topic, message, partition)
        self._waiting.append(parcel)
        return parcel

    async def send(self) -> None:
        """Hand to the producer what was put."""
        waiting, self._waiting = self._waiting, []
        for parcel in waiting:
            await self._hand_over(parcel)
        if len(self._sent) > self._most:
            await self._acknowledged()

    async def delivered(self) -> None:
        """Wait until the broker has everything that it does not refuse.

        Raises
        ------
        KafkaError or ProducerSendError
            The broker does not answer.
        """
        await self.send()
        await self._acknowledged()

    async def _acknowledged(self) -> None:
        """Wait for the answers; send one by one what was refused in company."""
        sent, self._sent = self._sent, []
        # All are waited for: asyncio reports each error that nobody has asked for.
        answers = await asyncio.gather(
            *(p.answer for p in sent if p.answer), return_exceptions=True
        )
        for parcel, answer in zip(sent, answers, strict=True):
            if not isinstance(answer, BaseException):
                self._refusals.accepted(parcel.topic)
            elif not is_refusal(answer):
                raise answer
        for parcel, answer in zip(sent, answers, strict=True):
            if isinstance(answer, BaseException):
                await self._send_alone(parcel)

    async def _send_alone(self, parcel: Parcel) -> None:
        """Find out whether a message is refused by itself."""
        if not await self._hand_over(parcel):
            return
        self._sent.pop()
        assert parcel.answer is not None
        try:
            await parcel.answer
        except KafkaError as error:
            if not is_refusal(error):
                raise
            self._refuse(parcel, error)
        else:
            self._refusals.accepted(parcel.topic)

    async def _hand_over(self, parcel: Parcel) -> bool:
        """Give a message to the producer; False where it is refused at once."""
        key, value, headers = parcel.message
        parcel.code = self._refusals.foresees(parcel.topic, key, value, headers)
        if parcel.code:
            self._count(parcel)
            return False
        producer = await self._app.maybe_start_producer()
        await _wait_for_partition(producer._producer, parcel)
        try:
            parcel.answer = await producer.send(
                parcel.topic, key, value, parcel.partition, None, list(headers)
            )
        except (KafkaError, ProducerSendError) as error:
            reason = error.__cause__ if isinstance(error, ProducerSendError) else error
            if reason is None or not is_refusal(reason):
                raise
            self._refuse(parcel, reason)
            return False
        self._sent.append(parcel)
        return True

    def _refuse(self, parcel: Parcel, error: BaseException) -> None:
        parcel.code = self._refusals.learn(parcel.topic, *parcel.message, error)
        self._count(parcel)

    def _count(self, parcel: Parcel) -> None:
        key, value, headers = parcel.message
        size = batch_bytes(key, value, headers)
        self._refusals.count(parcel.topic, key, size, parcel.code)


async def _wait_for_partition(producer: Any, parcel: Parcel) -> None:
    """Have aiokafka's producer know a partition that was added since it asked the broker last."""
    while parcel.partition is not None and parcel.partition not in await producer.partitions_for(
        parcel.topic
    ):
        await producer.client.force_metadata_update()
        await asyncio.sleep(_AGAIN_S)
