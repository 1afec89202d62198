"""kafka-python's network client: a broker that takes connections and does not answer is passed by.

A broker whose process or machine stands still is no reason to wait while others answer. When it
connects, kafka-python gives one broker, drawn at random, all of the time; here each has a share
of it, and those that have not answered come last. What it asks about the cluster is asked of
another broker after a few seconds.
"""

from __future__ import annotations

import random
from typing import Any

from kafka.errors import RetriableError
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest

_MIN_SHARE_MS = 1500.0
_METADATA_MS = 3000
_CONNECT_MS = 3000  # for the first try; kafka-python doubles it with each


class NetClient(KafkaNetClient):  # type: ignore[misc]
    """To be given to kafka-python's clients as ``kafka_client``."""

    def __init__(self, **options: Any) -> None:
        net = NetworkSelector(**options)
        super().__init__(net, _Manager(net, **options), **options)


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    def __init__(self, net: Any, **options: Any) -> None:
        super().__init__(net, **options)
        self.config["socket_connection_setup_timeout_ms"] = _CONNECT_MS
        brokers = self.cluster.bootstrap_brokers
        count = max(len(brokers()), 1)
        self._share_ms = max(options["bootstrap_timeout_ms"] / count, _MIN_SHARE_MS)

        def freshest() -> list[Any]:
            """Return the bootstrap brokers that have failed least often."""
            known = brokers()
            failures = [self._backoff.get(each.node_id, (0,))[0] for each in known]
            fewest = min(failures, default=0)
            return [b for b, count in zip(known, failures, strict=True) if count == fewest]

        self.cluster.bootstrap_brokers = freshest

    def get_connection(self, node_id: Any, timeout_ms: float | None = None, **options: Any) -> Any:
        if timeout_ms is not None and str(node_id).startswith("bootstrap-"):
            timeout_ms = min(timeout_ms, self._share_ms)
        return super().get_connection(node_id, timeout_ms=timeout_ms, **options)

    def send(self, request: Any, node_id: Any = None, request_timeout_ms: Any = None) -> Any:
        if request_timeout_ms is not None or not isinstance(request, MetadataRequest):
            return super().send(request, node_id, request_timeout_ms)
        node_id = self.least_loaded_node() if node_id is None else node_id
        others = [each.node_id for each in self.cluster.brokers() if each.node_id != node_id]
        random.shuffle(others)
        # While it bootstraps, kafka-python itself goes on with the next one.
        is_first = str(node_id).startswith("bootstrap-")
        answer = Future()
        self._ask(request, [node_id] if is_first else [node_id, *others], answer)
        return answer

    def _ask(self, request: Any, nodes: list[Any], answer: Future) -> None:
        """Ask one broker after the other until one answers."""

        def fail(error: BaseException) -> None:
            if len(nodes) > 1 and isinstance(error, RetriableError):
                self._ask(request, nodes[1:], answer)
            else:
                answer.failure(error)

        limit_ms = min(self.config["request_timeout_ms"], _METADATA_MS)
        asked = super().send(request, nodes[0], limit_ms)
        asked.add_callback(answer.success).add_errback(fail)
