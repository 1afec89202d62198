"""Watches whether topics are deleted, recreated or given more partitions.

The clients report that late or not at all. The offsets of a recreated topic start from 0 again, so
offsets of the old one must not be used with it. The broker is polled every few seconds over a
separate connection.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

from airsift.errors import AirsiftError
from stream.kafka.client.connect import broker_errors, connect_admin
from stream.kafka.client.rights import UNKNOWN_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kafka import KafkaAdminClient

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

POLL_S = 2.0
_GONE_AFTER = 2  # polls: a broker of a cluster may learn of a new topic later than the others


class Topic(NamedTuple):
    """What the broker reports of a topic.

    Each created topic has a new `id`; "" from a broker before Kafka 2.8.
    """

    id: str
    partitions: int


class Described(TypedDict):
    """A topic as kafka-python's `describe_topics` returns it."""

    name: str
    error_code: int
    topic_id: NotRequired[object]
    partitions: Sequence[object]


class TopicWatch:
    """Polls topics in a thread. Safe in any thread.

    Parameters
    ----------
    settings : KafkaSettings
        The broker.
    names : iterable of str
        The topics.
    query : callable, optional
        Replaces `KafkaAdminClient.describe_topics`; raises AirsiftError.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        names: Iterable[str],
        query: Callable[[Sequence[str]], Sequence[Described]] | None = None,
    ) -> None:
        self._settings = settings
        self._names = list(dict.fromkeys(names))
        self._query = query or self._query_broker
        self._connection = ExitStack()
        self._admin: KafkaAdminClient | None = None
        self._polling = threading.Lock()
        self._known: dict[str, Topic] = {}
        self._absent: Counter[str] = Counter()
        self._recreations: Counter[str] = Counter()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Poll once, and then every few seconds."""
        self.poll()
        threading.Thread(target=self._watch, name="topics", daemon=True).start()

    def stop(self) -> None:
        """End the polling."""
        self._stopped.set()

    def poll(self) -> None:
        """Poll now; without an answer nothing changes."""
        with self._polling:
            try:
                found = self._query(self._names)
            except AirsiftError as error:
                log.debug("topics: %s", error)
                return
            for topic in found:
                self._note(topic)

    def known(self, name: str) -> Topic:
        """Return the last known state of a topic."""
        return self._known.get(name, Topic("", 0))

    def recreations(self, name: str) -> int:
        """Return how often a topic has been recreated since the start."""
        return self._recreations[name]

    @property
    def broker_error(self) -> str:
        """The missing topics, in one line; "" for none."""
        gone = [name for name in self._names if self._absent[name] >= _GONE_AFTER]
        if not gone:
            return ""
        are = "is" if len(gone) == 1 else "are"
        return (
            f"topic {', '.join(gone)} {are} gone from the Kafka broker at "
            f"{self._settings.bootstrap_servers}; create it again, or start the worker again, "
            "which creates it"
        )

    def _note(self, described: Described) -> None:
        name = described["name"]
        if described["error_code"] == UNKNOWN_TOPIC:
            self._absent[name] += 1
            return
        if described["error_code"]:
            return
        topic = Topic(str(described.get("topic_id") or ""), len(described["partitions"]))
        before = self._known.get(name)
        self._known[name] = topic
        self._absent[name] = 0
        if before is None:
            return
        if topic.id != before.id:
            self._recreations[name] += 1
            log.warning(
                "topic %s was deleted and made anew: what it held and was not processed is lost, "
                "and reported as gaps",
                name,
            )
        elif topic.partitions > before.partitions:
            log.warning(
                "topic %s has %d partitions instead of %d",
                name,
                topic.partitions,
                before.partitions,
            )

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_S):
            self.poll()
        self._connection.close()

    def _query_broker(self, names: Sequence[str]) -> Sequence[Described]:
        try:
            if self._admin is None:
                self._admin = self._connection.enter_context(closing(connect_admin(self._settings)))
            with broker_errors(self._settings):
                described: Sequence[Described] = self._admin.describe_topics(list(names))
        except AirsiftError:
            self._admin = None
            self._connection.close()
            raise
        return described
