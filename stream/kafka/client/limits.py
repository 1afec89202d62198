"""How long a message may be, for each topic that is written: ``max.message.bytes``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from kafka.admin import ConfigResource
from kafka.errors import KafkaError

from airsift.errors import AirsiftError
from stream.kafka.client.connect import connect_admin

if TYPE_CHECKING:
    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

DEFAULT_BYTES = 1_048_588  # Apache Kafka's own max.message.bytes
_KEY = "max.message.bytes"
_REFRESH_S = 600.0  # until an operator's change is known
_ANSWER_S = 5.0


def query_broker(settings: KafkaSettings, topics: Collection[str]) -> dict[str, int]:
    """Return ``max.message.bytes`` of the topics for which the broker reports it.

    This needs the right DescribeConfigs on them; some brokers do not know the request.
    """
    try:
        admin = connect_admin(settings, request_timeout_ms=round(_ANSWER_S * 1000))
    except AirsiftError as error:
        log.debug("max.message.bytes is not known: %s", error)
        return {}
    try:
        resources = [ConfigResource("TOPIC", topic, {_KEY: None}) for topic in topics]
        found = admin.describe_configs(resources, config_filter="all").get("topic", {})
        return {
            topic: int(configs[_KEY]["value"])
            for topic, configs in found.items()
            if _KEY in configs
        }
    except (KafkaError, OSError, ValueError, TypeError, KeyError) as error:
        log.debug("max.message.bytes is not known: %s", error)
        return {}
    finally:
        admin.close()


class TopicLimits:
    """The topics' limits: those that the broker reports, and those learned from refusals.

    The broker is queried at once, and every ten minutes in a thread. Learned limits are dropped
    then, because an operator may have raised them. Safe in any thread.

    Parameters
    ----------
    settings : KafkaSettings
        Broker.
    topics : collection of str
        The topics.
    query : callable, optional
        Returns the limits that the broker reports.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Collection[str],
        query: Callable[[], Mapping[str, int]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        names = tuple(dict.fromkeys(topics))
        self._query = query or (lambda: query_broker(settings, names))
        self._now = now
        self._queried_at = now()
        self._reported = dict(self._query())
        self._learned: dict[str, int] = {}

    def reported(self, topic: str) -> int | None:
        """Return the maximum bytes of a batch, as sent, that the broker reports."""
        self._refresh_if_old()
        return self._reported.get(topic)

    def learned(self, topic: str) -> int | None:
        """Return the maximum bytes of a message, uncompressed, after the refusals so far."""
        self._refresh_if_old()
        return self._learned.get(topic)

    def refused(self, topic: str, size: int) -> None:
        """Take note that a message of `size` bytes, uncompressed, was too long for a topic."""
        self._learned[topic] = min(self._learned.get(topic, size), size - 1)

    def _refresh_if_old(self) -> None:
        if self._now() - self._queried_at < _REFRESH_S:
            return
        self._queried_at = self._now()
        threading.Thread(target=self._refresh, name="topic-limits", daemon=True).start()

    def _refresh(self) -> None:
        self._reported = {**self._reported, **self._query()}
        self._learned = {}
