"""Messages that claim a jump of their station, until the next one decides."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stream.kafka.codec.message import Read

MAX_BYTES = 64 * 1024 * 1024  # of all held messages, with the samples decoded from them


@dataclass(frozen=True, slots=True)
class Held:
    """One message.

    Parameters
    ----------
    message : Received or kafka ConsumerRecord
        As it was read.
    read : Read
        What it decodes to, and where it would lie.
    since : float
        When it was read, in seconds of the clock.
    """

    message: Any
    read: Read
    since: float

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return len(self.message.value or b"") + self.read.chunk.samples.nbytes


class HeldMessages:
    """At most one message of each station.

    Parameters
    ----------
    now : callable
        The clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._messages: dict[str, Held] = {}
        self._bytes = 0

    def put(self, message: Any, read: Read) -> bool:
        """Hold a message; False where there is no room for it.

        The station's last one must have been taken off before.
        """
        held = Held(message, read, self._now())
        if self._bytes + held.bytes > MAX_BYTES:
            return False
        self._messages[read.chunk.station] = held
        self._bytes += held.bytes
        return True

    def pop(self, station: str) -> Held | None:
        """Take a station's message off, if there is one."""
        held = self._messages.pop(station, None)
        if held is not None:
            self._bytes -= held.bytes
        return held

    def older_than(self, seconds: float) -> list[str]:
        """Return the stations whose message has been held for longer."""
        since = self._now() - seconds
        return [station for station, held in self._messages.items() if held.since <= since]

    def drop(self, partitions: Collection[int]) -> None:
        """Leave the messages of partitions to whoever reads them next."""
        for station, held in list(self._messages.items()):
            if held.message.partition in partitions:
                self.pop(station)
