"""Whether a worker can do its work on Kafka: the broker answers, the group is joined, topics exist.

Telemetry reads `MemberHealth` of either driver; ``/readyz`` and the log show it to operators.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream.kafka.client.topic_watch import TopicWatch
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_CLOSED_S = 3.0  # a broker that restarts closes its connections, and the client opens them again
_LASTS_S = 10.0  # clients try again several times a second
_REPEAT_S = 60.0  # between two log lines about a quota
_TOO_FEW_REPLICAS = {19, 20}  # Kafka's errors NOT_ENOUGH_REPLICAS and ..._AFTER_APPEND


class BrokerDelays:
    """Waits that a broker imposes on a client without refusing anything. Safe in any thread.

    A quota delays answers, and a partition with too few replicas in sync accepts nothing. The
    clients wait and try again, which is right, and report it only to their logs.

    Parameters
    ----------
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    throttled_s : float
        Seconds by which quotas have delayed answers so far.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._short: dict[str, float] = {}  # topics with too few replicas, and the time of the last
        self._next_line = -_REPEAT_S
        self.throttled_s = 0.0

    def throttled(self, wait_ms: int) -> None:
        """Note by how much a quota has delayed an answer; 0 for no delay."""
        if not wait_ms:
            return
        self.throttled_s += wait_ms / 1000
        if self._now() >= self._next_line:
            self._next_line = self._now() + _REPEAT_S
            log.warning(
                "a quota of the Kafka broker slows this client down, by %d ms just now: nothing is "
                "lost, but it may fall behind; raise the quota or send less",
                wait_ms,
            )

    def not_written(self, topic: str, code: int) -> None:
        """Note Kafka's error `code` in an answer to what was sent to a topic."""
        if code in _TOO_FEW_REPLICAS:
            self._short[topic] = self._now()

    @property
    def broker_error(self) -> str:
        """What the client waits for, in one line; "" for nothing."""
        since = self._now() - _LASTS_S
        topics = sorted(topic for topic, noticed in list(self._short.items()) if noticed > since)
        if not topics:
            return ""
        return (
            f"topic {', '.join(topics)}: fewer replicas in sync than min.insync.replicas, so "
            "nothing can be written; it is tried again until enough brokers are back"
        )


BROKER_DELAYS = BrokerDelays()  # of all clients of this process


class Connectivity:
    """For how long the broker has not answered. Safe in any thread.

    A member of a group receives answers all the time: heartbeats and empty fetches come back
    several times in `session_timeout_s`. Only during a rebalance an open connection may be quiet
    for up to `request_timeout_s`.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and limits.
    last_reads : callable
        Returns, for each open connection, when it last received something, by `now`.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        last_reads: Callable[[], Iterable[float]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._last_reads = last_reads
        self._now = now
        self._open_at = self._read_at = now()

    @property
    def broker_error(self) -> str:
        """What is wrong, in one line; "" for nothing."""
        reads, now = list(self._last_reads()), self._now()
        if reads:
            self._open_at = now
            self._read_at = max(self._read_at, *reads)
        quiet_s = now - self._read_at
        is_gone = now - self._open_at > _CLOSED_S
        if not is_gone and quiet_s <= self._settings.request_timeout_s:
            return ""
        where = self._settings.bootstrap_servers
        return f"no answer from the Kafka broker at {where} for {quiet_s:.0f} s; it is tried again"


class Readiness:
    """Whether a group member has joined and can fetch its partitions.

    Each worker that joins or leaves causes a rebalance, so a rebalance makes a member unready only
    when it takes longer than a session.

    Parameters
    ----------
    session_timeout_s : float > 0
        The group's.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    waits_for : frozenset of str
        ``group`` until the member has joined, ``partitions`` until it has fetched from each of
        its partitions. Safe in any thread.
    """

    def __init__(self, session_timeout_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._session_timeout_s = session_timeout_s
        self._now = now
        self._joined_at: float | None = None
        self.waits_for = frozenset({"group"})

    def update(self, partitions: Iterable[int] | None, end_of: Callable[[int], int | None]) -> None:
        """Take note of the present state, in every iteration of the loop.

        Parameters
        ----------
        partitions : iterable of int, optional
            The member's partitions; None before it has joined and during a rebalance.
        end_of : callable
            Returns the end of a partition at the last fetch, None before the first fetch.
        """
        now = self._now()
        if partitions is not None:
            self._joined_at = now
            fetched = all(end_of(partition) is not None for partition in partitions)
            self.waits_for = frozenset() if fetched else frozenset({"partitions"})
        elif self._joined_at is not None and now - self._joined_at > self._session_timeout_s:
            self.waits_for = frozenset({"group"})


class MemberHealth:
    """What telemetry reads of a group member, for either driver. Safe in any thread."""

    _settings: KafkaSettings
    _topics: TopicWatch
    _readiness: Readiness
    _connectivity: Connectivity | None

    @property
    def waits_for(self) -> frozenset[str]:
        """What is missing before messages can be read."""
        return self._readiness.waits_for

    @property
    def topic_partitions(self) -> int:
        """How many partitions the audio topic has, as last seen."""
        return self._topics.known(self._settings.topics.audio).partitions

    @property
    def throttled_s(self) -> float:
        """Seconds by which quotas have delayed this client."""
        return BROKER_DELAYS.throttled_s

    @property
    def broker_error(self) -> str:
        """Why nothing can be received from the broker or written to it; "" where it can."""
        connectivity = self._connectivity.broker_error if self._connectivity else ""
        return connectivity or self._topics.broker_error or BROKER_DELAYS.broker_error
