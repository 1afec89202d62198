"""What a broker does to a client without refusing anything: it has it wait.

A quota holds answers back, and a partition with too few replicas in sync takes nothing. The clients
wait and try again, which is right, and tell only their logs. Here it becomes one line, and for as
long as it lasts a reason why a worker is not ready.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_LASTS_S = 10.0  # clients try again several times a second
_AGAIN_S = 60.0  # between two lines about a quota
_THROTTLED_MS = re.compile(r"throttled by broker \((\d+) ms\)")
_PARTITION = re.compile(r"topic='?([\w.-]+)'?, partition=(\d+)")


class Notices:
    """Takes note of waits that a broker imposes. Safe in any thread.

    Parameters
    ----------
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    throttled_s : float
        Seconds for which quotas have held answers back so far.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._short: dict[str, float] = {}  # topics with too few replicas, and when last noticed
        self._next_line = -_AGAIN_S
        self.throttled_s = 0.0

    def throttled(self, wait_ms: int) -> None:
        """Note that a quota holds this client back."""
        self.throttled_s += wait_ms / 1000
        if self._now() >= self._next_line:
            self._next_line = self._now() + _AGAIN_S
            log.warning(
                "a quota of the Kafka broker slows this client down, by %d ms just now: nothing is "
                "lost, but it may fall behind; raise the quota or send less",
                wait_ms,
            )

    def short_of_replicas(self, topic: str) -> None:
        """Note that a topic takes nothing until more of its replicas are in sync."""
        self._short[topic] = self._now()

    @property
    def trouble(self) -> str:
        """What is waited for, in one line; "" where nothing is."""
        since = self._now() - _LASTS_S
        topics = sorted(topic for topic, noticed in list(self._short.items()) if noticed > since)
        if not topics:
            return ""
        return (
            f"topic {', '.join(topics)}: fewer replicas in sync than min.insync.replicas, so "
            "nothing can be written; it is tried again until enough brokers are back"
        )


NOTICES = Notices()  # the clients' logs belong to the process


class _Listener(logging.Handler):
    """Reads what the clients tell their logs."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if (throttled := _THROTTLED_MS.search(text)) is not None:
            NOTICES.throttled(int(throttled[1]))
        elif "NotEnoughReplicas" in text or "[Error 19]" in text or "[Error 20]" in text:
            found = _PARTITION.search(text)
            NOTICES.short_of_replicas(found[1] if found else "(unknown)")


def listen() -> None:
    """Read the clients' logs from now on."""
    for name in ("kafka.net.connection", "kafka.producer.sender", "aiokafka.producer.sender"):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Listener) for handler in logger.handlers):
            logger.addHandler(_Listener(logging.WARNING))
            logger.setLevel(logging.WARNING)
            logger.propagate = False
