"""kafka-python's network client, where a broker that does not answer must not stop the work.

- A broker whose process or machine is frozen accepts connections and does not answer. While it
  bootstraps, kafka-python gives one randomly chosen broker all of the time; here each gets a share
  of it, and those that have failed come last. A request for metadata that is not answered within
  seconds goes to another broker.
- A login that is refused ends the bootstrap: a broker that counts failed logins would lock the
  account.
- Waits that a broker imposes (quotas, too few replicas) are noted in `BROKER_DELAYS`.
- `CoordinatorClient` finds a transaction coordinator again that has gone away.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeAlias

from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import ProduceResponse

from stream.kafka.health import BROKER_DELAYS

if TYPE_CHECKING:
    from kafka.net.connection import KafkaConnection
    from kafka.protocol.metadata import MetadataResponse

    Broker: TypeAlias = MetadataResponse.MetadataResponseBroker

LOGIN_REFUSED = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)
_MIN_SHARE_MS = 1500.0
_METADATA_MS = 3000
_CONNECT_MS = 3000  # of the first attempt; kafka-python doubles it with each
_COORDINATOR_PAUSE_MS = 100  # between two requests for the coordinator, while another takes over
_AWAY = (RequestTimedOutError, KafkaTimeoutError, NodeNotReadyError)

NodeId: TypeAlias = int | str  # a bootstrap broker has a name until its number is known


class NetClient(KafkaNetClient):  # type: ignore[misc]
    """The value of kafka-python's option ``kafka_client``."""

    def __init__(self, **options: object) -> None:
        net = NetworkSelector(**options)
        super().__init__(net, _Manager(net, **options), **options)


class CoordinatorClient(NetClient):
    """The ``kafka_client`` of a transactional producer.

    kafka-python drops the request that it is about to send where the coordinator refuses the
    connection, and gives the producer up where the coordinator does not answer in time. It can
    recover from two other states: a node that is not ready, and a lost connection. Both are
    reported here whatever happened to the coordinator. kafka-python then requests the coordinator
    again and repeats its request, which the coordinator recognises by its epoch.
    """

    def await_ready(self, node_id: NodeId, timeout_ms: float = 30_000) -> bool:
        """Wait until a node accepts requests; return False if it does not."""
        try:
            ready: bool = super().await_ready(node_id, timeout_ms=min(timeout_ms, _CONNECT_MS))
        except KafkaError:
            self.poll(timeout_ms=_COORDINATOR_PAUSE_MS)
            return False
        return ready

    def send(self, node_id: NodeId, request: object, **options: object) -> Future:
        """Send a request; one that is not answered fails like a lost connection."""
        answer = Future()

        def fail(error: BaseException) -> None:
            if isinstance(error, _AWAY):
                error = KafkaConnectionError(str(error))
            answer.failure(error)

        super().send(node_id, request, **options).add_callback(answer.success).add_errback(fail)
        return answer


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    def __init__(self, net: NetworkSelector, **options: object) -> None:
        self._failures: dict[NodeId, int] = {}  # failed attempts in a row, by node
        self._refused_login: BaseException | None = None
        super().__init__(net, **options)
        self.config["socket_connection_setup_timeout_ms"] = _CONNECT_MS
        # A broker with ``auto.create.topics.enable`` would create each requested topic.
        # kafka-python ignores its option of this name.
        self.cluster.config["allow_auto_create_topics"] = False
        brokers = self.cluster.bootstrap_brokers
        timeout_ms = options["bootstrap_timeout_ms"]
        assert isinstance(timeout_ms, int)
        self._share_ms = max(timeout_ms / max(len(brokers()), 1), _MIN_SHARE_MS)

        def bootstrap_brokers() -> list[Broker]:
            """Return the bootstrap brokers that have failed least often."""
            known = brokers()
            failures = [self._failures.get(each.node_id, 0) for each in known]
            fewest = min(failures, default=0)
            return [b for b, count in zip(known, failures, strict=True) if count == fewest]

        self.cluster.bootstrap_brokers = bootstrap_brokers

    def update_backoff(self, node_id: NodeId) -> float:
        self._failures[node_id] = self._failures.get(node_id, 0) + 1
        backoff_ms: float = super().update_backoff(node_id)
        return backoff_ms

    def reset_backoff(self, node_id: NodeId) -> None:
        self._failures.pop(node_id, None)
        super().reset_backoff(node_id)

    def maybe_raise_auth_failure(self, node_id: NodeId) -> None:
        if _is_bootstrap(node_id) and self._refused_login is not None:
            refused, self._refused_login = self._refused_login, None
            raise refused
        super().maybe_raise_auth_failure(node_id)

    def get_connection(
        self, node_id: NodeId, timeout_ms: float | None = None, **options: object
    ) -> KafkaConnection:
        if timeout_ms is not None and _is_bootstrap(node_id):
            timeout_ms = min(timeout_ms, self._share_ms)
        connection = super().get_connection(node_id, timeout_ms=timeout_ms, **options)
        if _is_bootstrap(node_id):
            connection.init_future.add_errback(self._note_refused_login)
        return connection

    def _note_refused_login(self, error: BaseException) -> None:
        if isinstance(error, LOGIN_REFUSED):
            self._refused_login = error

    def send(
        self,
        request: object,
        node_id: NodeId | None = None,
        request_timeout_ms: float | None = None,
    ) -> Future:
        if request_timeout_ms is not None or not isinstance(request, MetadataRequest):
            answer = super().send(request, node_id, request_timeout_ms)
            return answer.add_callback(_note_response)
        node_id = self.least_loaded_node() if node_id is None else node_id
        others = [each.node_id for each in self.cluster.brokers() if each.node_id != node_id]
        random.shuffle(others)
        # During the bootstrap kafka-python itself tries the next one.
        nodes = [node_id] if _is_bootstrap(node_id) else [node_id, *others]
        answer = Future()
        self._request(request, nodes, answer)
        return answer

    def _request(self, request: object, nodes: list[NodeId], answer: Future) -> None:
        """Send a request to one broker after another until one answers."""

        def fail(error: BaseException) -> None:
            if len(nodes) > 1 and isinstance(error, RetriableError):
                self._request(request, nodes[1:], answer)
            else:
                answer.failure(error)

        limit_ms = min(self.config["request_timeout_ms"], _METADATA_MS)
        sent = super().send(request, nodes[0], limit_ms).add_callback(_note_response)
        sent.add_callback(answer.success).add_errback(fail)


def _is_bootstrap(node_id: NodeId) -> bool:
    return str(node_id).startswith("bootstrap-")


def _note_response(response: object) -> None:
    """Note the waits that a broker imposes, and prepare refusals."""
    BROKER_DELAYS.throttled(getattr(response, "throttle_time_ms", 0))
    if not isinstance(response, ProduceResponse):
        return
    for topic in response.responses:
        for partition in topic.partition_responses:
            if partition.error_code:
                BROKER_DELAYS.not_written(topic.name, partition.error_code)
                # With them kafka-python fails the other messages of the batch without a code.
                partition.record_errors = []
