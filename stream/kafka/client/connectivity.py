"""Whether the broker is still there, when nothing is on its way that would fail without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream.kafka.settings import KafkaSettings

_CLOSED_S = 3.0  # a broker that goes away closes its connections, and they are opened again


class Contact:
    """Since when the broker has not answered.

    A member of a group is answered all the time: heartbeats and empty fetches come back several
    times in `session_timeout_s`. Only while the group is rebalanced an open connection may be
    quiet for longer, so it has `request_timeout_s`. Safe in any thread.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and limits.
    look : callable
        Returns, for each open connection, when something was last read from it, by `now`.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        look: Callable[[], Iterable[float]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._look = look
        self._now = now
        self._open_at = self._read_at = now()

    @property
    def trouble(self) -> str:
        """What is wrong, in one line; "" where nothing is."""
        read, now = list(self._look()), self._now()
        if read:
            self._open_at = now
            self._read_at = max(self._read_at, *read)
        quiet_s = now - self._read_at
        is_gone = now - self._open_at > _CLOSED_S
        if not is_gone and quiet_s <= self._settings.request_timeout_s:
            return ""
        where = self._settings.bootstrap_servers
        return f"no answer from the Kafka broker at {where} for {quiet_s:.0f} s; it is tried again"


def reads_of_consumer(consumer: Any) -> list[float]:
    """Return when something was last read from each open connection of kafka-python's."""
    return [
        connection.transport.last_read
        for connection in list(consumer._manager._conns.values())
        if connection.connected
    ]


def reads_of_faust(app: Any) -> list[float]:
    """Return when something was last read from each open connection of Faust's consumer."""
    consumer = getattr(app.consumer._thread, "_consumer", None)
    if consumer is None:
        return []
    return [
        connection._last_action
        for connection in list(consumer._client._conns.values())
        if connection.connected()
    ]
