"""Whether the topics are still those that a worker began with.

Somebody may delete a topic, make it anew, or give it more partitions. The clients report that late
or not at all, and a topic that was made anew counts its offsets from 0 again: what is known of the
old one must not be taken for the new one's. So the broker is asked, every few seconds, over a
connection of its own.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from airsift.errors import AirsiftError
from stream.kafka.client.connect import broker_errors, connected_admin
from stream.kafka.client.rights import UNKNOWN_TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

LOOK_S = 2.0
_GONE_AFTER = 2  # looks: a broker of a cluster may hear of a new topic a moment after the others


class Topic(NamedTuple):
    """What the broker says of a topic.

    `id` is another one each time the topic is made; "" from a broker before Kafka 2.8.
    """

    id: str
    partitions: int


class TopicWatch:
    """Looks at topics in a thread. Safe in any thread.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    names : iterable of str
        The topics.
    ask : callable, optional
        Given names, returns what `KafkaAdminClient.describe_topics` does; raises AirsiftError.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        names: Iterable[str],
        ask: Callable[[Sequence[str]], Sequence[dict[str, Any]]] | None = None,
    ) -> None:
        self._settings = settings
        self._names = list(dict.fromkeys(names))
        self._ask = ask or self._ask_broker
        self._connection = ExitStack()
        self._admin: Any = None
        self._looking = threading.Lock()
        self._known: dict[str, Topic] = {}
        self._absent: Counter[str] = Counter()
        self._made_anew: Counter[str] = Counter()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look once, and then every few seconds."""
        self.look()
        threading.Thread(target=self._watch, name="topics", daemon=True).start()

    def stop(self) -> None:
        """Look no longer."""
        self._stopped.set()

    def look(self) -> None:
        """Look now; a broker that does not answer changes nothing."""
        with self._looking:
            try:
                found = self._ask(self._names)
            except AirsiftError as error:
                log.debug("topics: %s", error)
                return
            for topic in found:
                self._note(topic)

    def known(self, name: str) -> Topic:
        """Return what was last seen of a topic."""
        return self._known.get(name, Topic("", 0))

    def made_anew(self, name: str) -> int:
        """Return how often a topic was seen to be another one than before."""
        return self._made_anew[name]

    @property
    def trouble(self) -> str:
        """Which topics are gone, in one line; "" where none is."""
        gone = [name for name in self._names if self._absent[name] >= _GONE_AFTER]
        if not gone:
            return ""
        are = "is" if len(gone) == 1 else "are"
        return (
            f"topic {', '.join(gone)} {are} gone from the Kafka broker at "
            f"{self._settings.bootstrap_servers}; create it again, or start the worker again, "
            "which creates it"
        )

    def _note(self, described: dict[str, Any]) -> None:
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
            self._made_anew[name] += 1
            log.warning(
                "topic %s was deleted and made anew: what it held and was not processed is lost, "
                "and told as gaps",
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
        while not self._stopped.wait(LOOK_S):
            self.look()
        self._connection.close()

    def _ask_broker(self, names: Sequence[str]) -> Sequence[dict[str, Any]]:
        try:
            if self._admin is None:
                self._admin = self._connection.enter_context(connected_admin(self._settings))
            with broker_errors(self._settings):
                described: Sequence[dict[str, Any]] = self._admin.describe_topics(list(names))
        except AirsiftError:
            self._admin = None
            self._connection.close()
            raise
        return described
