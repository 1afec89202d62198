"""kafka-python's client for transactions: a coordinator that is away is looked for again.

kafka-python drops the request that it was about to send where the coordinator refuses the
connection, and gives the producer up where the coordinator does not answer in time. Its sender
has ways to go on: a node that is not ready yet, and a connection that was lost. Both are told
here of a coordinator that is away, whatever happened to it; the sender then asks the cluster for
the coordinator again, and repeats the request. The coordinator takes a repeated request of the
same epoch for the first one.
"""

from __future__ import annotations

from typing import Any

from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from kafka.future import Future

from stream.kafka.client.net_client import NetClient

_CONNECT_MS = 3000  # a node that was frozen takes connections and does not answer
_PAUSE_MS = 100  # between two looks for the coordinator, while another node takes over
_AWAY = (RequestTimedOutError, KafkaTimeoutError, NodeNotReadyError)


class CoordinatorClient(NetClient):
    """To be given to kafka-python's producer as ``kafka_client``."""

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """Wait until a node takes requests; return False where it does not."""
        try:
            ready: bool = super().await_ready(node_id, timeout_ms=min(timeout_ms, _CONNECT_MS))
        except KafkaError:
            self.poll(timeout_ms=_PAUSE_MS)
            return False
        return ready

    def send(self, node_id: Any, request: Any, **options: Any) -> Future:
        """Send a request; one that is not answered fails as if its connection were lost."""
        answer = Future()

        def fail(error: BaseException) -> None:
            if isinstance(error, _AWAY):
                error = KafkaConnectionError(str(error))
            answer.failure(error)

        super().send(node_id, request, **options).add_callback(answer.success).add_errback(fail)
        return answer
