"""Messages on their way to the broker through Faust's producer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from stream.kafka.wire import Message


class Outbox:
    """Takes messages at any time, and sends them when its loop comes round.

    Parameters
    ----------
    app : faust.App
        Whose producer sends.
    most : int > 0
        Messages that may be on their way before `send` waits.
    """

    def __init__(self, app: Any, most: int) -> None:
        self._app = app
        self._most = most
        self._waiting: list[tuple[str, Message, int | None]] = []
        self._sent: deque[Awaitable[Any]] = deque()

    @property
    def queued(self) -> int:
        """Messages that the broker has not acknowledged, as far as anyone has looked."""
        return len(self._waiting) + len(self._sent)

    def put(self, topic: str, message: Message, partition: int | None = None) -> None:
        """Take a message; without a partition its key decides, as for Kafka's own clients."""
        self._waiting.append((topic, message, partition))

    async def send(self) -> None:
        """Hand to the producer what was put."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        producer = await self._app.maybe_start_producer()
        for topic, message, partition in waiting:
            headers = list(message.headers)
            sent = await producer.send(topic, message.key, message.value, partition, None, headers)
            sent.add_done_callback(_seen)
            self._sent.append(sent)
        while len(self._sent) > self._most:
            await self._sent.popleft()

    async def delivered(self) -> None:
        """Wait until the broker has everything; raises what aiokafka does if it refuses."""
        await self.send()
        while self._sent:
            await self._sent.popleft()


def _seen(sent: asyncio.Future[Any]) -> None:
    """Look at what became of a message, so that asyncio does not print it.

    The first that is refused ends the worker in one line; nobody waits for the others then.
    """
    if not sent.cancelled():
        sent.exception()
