"""Kafka's topics of events, read as one member of a consumer group.

The members of a group share the partitions. An offset is committed when the caller says so, that
is when what was read up to it is safe: after a crash it is read again, and nothing is left out.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from kafka import TopicPartition

from stream.kafka.client.commits import commit_offsets
from stream.kafka.client.connect import broker_errors, connect_consumer, ensure_topics
from stream.kafka.client.privates import last_reads
from stream.kafka.client.source import AssignmentListener
from stream.kafka.health import Connectivity
from stream.sources.base import SourceStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_CLOSE_MS = 1000  # leaving the group is a courtesy


class EventTopics(SourceStatus):
    """The messages of the topics of some kinds of events.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics. Topics that are missing are created.
    kinds : collection of str
        Kinds of events.
    group : str
        The consumer group. Where it has committed nothing yet, it begins at `start_from`. Its
        member has the name `instance_id`, as workers have in theirs.

    Attributes
    ----------
    counts : Counter
        ``messages``, ``bytes``, ``unreadable``, ``rebalances``, ``commits`` and
        ``commit_failures`` so far.

    Raises
    ------
    BrokerError
        No broker answers, a topic is missing and cannot be created, or a right is missing. Later,
        also where another process has the same `instance_id` in this group.
    """

    def __init__(self, settings: KafkaSettings, kinds: Collection[str], group: str) -> None:
        self._settings = settings = settings.model_copy(update={"group": group})
        topics = sorted(settings.topics.of_events(kinds).values())
        ensure_topics(settings, {name: ["Read"] for name in topics}, group=group)
        self.counts: Counter[str] = Counter()
        self._next: dict[TopicPartition, int] = {}  # offset behind what was returned
        self._committed: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] | None = None
        # Aborted messages are no events, whatever this client's kafka.exactly_once.
        self._consumer = connect_consumer(
            settings,
            self._count_unreadable,
            group_id=group,
            group_instance_id=settings.instance_id or None,
            client_rack=settings.client_rack,
            isolation_level="read_committed",
        )
        self._connectivity = Connectivity(settings, lambda: last_reads(self._consumer))
        self._assignment = AssignmentListener()
        with broker_errors(settings):
            self._consumer.subscribe(topics, listener=self._assignment)

    def poll(self) -> list[ConsumerRecord]:
        """Return the next messages, in order within a partition; none after `kafka.poll_s`.

        Raises
        ------
        BrokerError
            The broker refuses, or this client's right was taken away.
        """
        with broker_errors(self._settings):
            polled = self._consumer.poll(timeout_ms=round(self._settings.poll_s * 1000))
        if self._assignment.assigned:
            self._assignment.assigned = False
            self._ends = None
            self.counts["rebalances"] += 1
            ours = Counter(tp.topic for tp in self._consumer.assignment())
            named = ", ".join(f"{count} of {topic}" for topic, count in sorted(ours.items()))
            log.info("partitions: %s", named or "none")
        records = []
        for tp, some in polled.items():
            self._next[tp] = some[-1].offset + 1
            records += some
        self.counts["messages"] += len(records)
        self.counts["bytes"] += sum(len(record.value or b"") for record in records)
        return records

    def pause(self) -> None:
        """Fetch nothing more, and stay in the group, until `resume`."""
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again."""
        self._consumer.resume(*self._consumer.paused())

    def commit(self) -> None:
        """Commit the offsets behind all that `poll` has returned.

        A commit that fails is counted: it costs a repetition, and the next one makes it good.
        """
        ours = self._consumer.assignment()
        self._next = {tp: at for tp, at in self._next.items() if tp in ours}
        changed = {tp: at for tp, at in self._next.items() if self._committed.get(tp) != at}
        if not changed:
            return
        if commit_offsets(self._consumer, changed, self.counts, self._settings):
            self._committed = self._next.copy()

    @property
    def is_at_end(self) -> bool:
        """Whether all was returned that our partitions held when they were assigned."""
        if self._assignment.joining or self._assignment.assigned:
            return False
        tps = sorted(self._consumer.assignment())
        with broker_errors(self._settings):
            if self._ends is None:
                self._ends = self._consumer.end_offsets(tps)
            return all((self._consumer.position(tp) or 0) >= self._ends[tp] for tp in tps)

    @property
    def lag(self) -> int:
        """Messages that waited in our partitions when each was last fetched from."""
        waiting = 0
        for tp in self._consumer.assignment():
            end = self._consumer.highwater(tp)
            if end is not None and tp in self._next:
                waiting += max(end - self._next[tp], 0)
        return waiting

    @property
    def broker_error(self) -> str:
        """Why nothing can come, "" where it can. Safe in any thread."""
        return self._connectivity.broker_error

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close(timeout_ms=_CLOSE_MS)

    def _count_unreadable(self) -> None:
        self.counts["unreadable"] += 1
