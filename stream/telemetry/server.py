"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, from a thread of its own."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import choose_encoder

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from stream.telemetry.health import Health

REQUEST_S = 5.0  # a client that takes longer to ask is hung up on

log = logging.getLogger(__name__)


@contextmanager
def serving(address: str, port: int, registry: CollectorRegistry, health: Health) -> Iterator[int]:
    """Serve while the block runs; give the port.

    Parameters
    ----------
    address : str
        Of the interface to listen on: 127.0.0.1 for this machine alone.
    port : int >= 0
        0 takes a free one.
    registry : CollectorRegistry
        What ``/metrics`` shows.
    health : Health
        What the others say: status 200 or 503, with a JSON object that says why.

    Raises
    ------
    ConfigError
        Nobody can listen there.
    """
    try:
        server = _Server(address, port, partial(_Handler, registry, health))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"watch.address={address!r}, watch.port={port}: {error}; give an address of this "
            "machine and a free port, or port 0 to serve nothing"
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="watch", daemon=True)
    thread.start()
    log.info("metrics and health on %s port %d", *server.server_address[:2])
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingMixIn, TCPServer):  # the standard library is built this way
    allow_reuse_address = True  # a restart must not wait for old connections
    daemon_threads = True  # nor must the end wait for a client

    def __init__(self, address: str, port: int, handler: Callable[..., Any]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a client of /metrics or health went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server_version = "airsift"
    sys_version = ""

    def __init__(
        self, registry: CollectorRegistry, health: Health, *arguments: Any, **named: Any
    ) -> None:
        self._registry = registry
        self._health = health
        super().__init__(*arguments, **named)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, content_type, encode(self._registry))
        elif path == "/healthz":
            self._answer_json(self._health.healthy)
        elif path == "/readyz":
            self._answer_json(self._health.ready)
        else:
            body = b"there are /metrics, /healthz and /readyz\n"
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug(format, *args)

    def _answer_json(self, good: bool) -> None:
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps(self._health.report()).encode() + b"\n"
        self._answer(status, "application/json", body)

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
