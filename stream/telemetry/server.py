"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, from a thread of its own."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client import CollectorRegistry

    from stream.telemetry.health import Health

REQUEST_S = 5.0  # a client that takes longer to send its request is disconnected

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
        The metrics.
    health : Health
        Answers ``/healthz`` and ``/readyz``: status 200 or 503, with a JSON object as the reason.

    Raises
    ------
    ConfigError
        The address and port cannot be listened on.
    """
    try:
        server = _Server(address, port, _app(registry, health))
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


def _app(registry: CollectorRegistry, health: Health) -> WSGIApplication:
    metrics = make_wsgi_app(registry, disable_compression=True)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def answer(status: HTTPStatus, content_type: str, body: bytes) -> Iterable[bytes]:
            headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
            start(f"{status} {status.phrase}", headers)
            return [body]

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            start_response(status, [*headers, ("Cache-Control", "no-store")])

        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return answer(HTTPStatus.NOT_IMPLEMENTED, "text/plain", b"use GET or HEAD\n")
        if path == "/metrics":
            body = metrics(environ | {"REQUEST_METHOD": "GET"}, start)
        elif path in ("/healthz", "/readyz"):
            good = health.healthy if path == "/healthz" else health.ready
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            text = json.dumps(health.report()).encode() + b"\n"
            body = answer(status, "application/json", text)
        else:
            text = b"there are /metrics, /healthz and /readyz\n"
            body = answer(HTTPStatus.NOT_FOUND, "text/plain", text)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    return app


class _Server(ThreadingMixIn, WSGIServer):  # the standard library is built this way
    daemon_threads = True  # the end must not wait for a client

    def __init__(self, address: str, port: int, app: WSGIApplication) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)
        self.set_app(app)

    def server_bind(self) -> None:
        # HTTPServer's looks up the name of the host, which may take a minute without DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a client of /metrics or health disconnected", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_S
    server_version = "airsift"
    sys_version = ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        log.debug(format, *args)
