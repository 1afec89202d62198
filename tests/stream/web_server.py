"""A web server on the loopback for tests, and what a source receives from it."""

from __future__ import annotations

import io
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stream.audio import AudioChunk
from stream.sources.http import HttpSource
from stream.sources.settings import HttpSettings
from stream.testing import tone
from tests.stream.media import encode

RATE = 44_100

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request to the radio; answers by path."""

    answers: dict[str, Answer]
    visits: list[str]

    def do_GET(self) -> None:
        self.visits.append(self.path)
        try:
            self.answers[self.path](self)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def head(self, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def radio(
    answers: dict[str, Answer], tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Serve on the loopback; give the address, and the paths visited so far."""
    visits: list[str] = []
    handler = type("Radio", (Request,), {"answers": answers, "visits": visits})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http{'s' * (tls is not None)}://127.0.0.1:{server.server_port}", visits
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def listening(url: str, **settings: float) -> Iterator[HttpSource]:
    own = {"settle_s": settings.pop("settle_s", 0.5)}
    web = HttpSettings.default(**{"timeout_s": 20.0, "max_backoff_s": 0.5, **settings})  # type: ignore[arg-type]
    source = HttpSource(url, "radio", web, **own)
    try:
        yield source
    finally:
        source.close()


@cache
def encoded(seconds: float, codec: str = "libmp3lame", format: str = "mp3") -> bytes:  # noqa: A002
    data = io.BytesIO()
    encode(data, tone(seconds, RATE), RATE, codec, format=format, options={"write_xing": "0"})
    return data.getvalue()


def stream(*parts: bytes, then: float = 0.0) -> Answer:
    """Send a part to each visitor in turn (the last to all others), in small pieces."""
    turns = iter(parts)

    def answer(request: Request) -> None:
        data = next(turns, parts[-1])
        request.head(Content_Type="audio/mpeg", icy_name="Radio")
        for start in range(0, len(data), 4_096):
            request.wfile.write(data[start : start + 4_096])
        time.sleep(then)

    return answer


def whole(data: bytes, *, ranges: bool = False, break_at: int | None = None) -> Answer:
    """Send a file of stated length, the first time only up to `break_at`."""
    broken = threading.Event()

    def answer(request: Request) -> None:
        requested = request.headers.get("Range", "bytes=0-")
        start = int(requested.split("=")[1].split("-")[0]) if ranges else 0
        headers = {"Content_Length": str(len(data) - start)}
        if ranges:
            headers |= {
                "Accept_Ranges": "bytes",
                "Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}",
            }
        request.head(206 if ranges else 200, **headers)
        end = len(data)
        if break_at is not None and not broken.is_set():
            broken.set()
            end = break_at
        request.wfile.write(data[start:end])

    return answer


def received_audio(
    source: HttpSource, *, until_s: float = 1e9, timeout_s: float = 120.0
) -> list[AudioChunk]:
    """Return the chunks of the first `until_s` seconds, or all."""
    chunks: list[AudioChunk] = []
    deadline = time.monotonic() + timeout_s
    for batch in source:
        chunks += batch
        if sum(len(chunk.samples) / chunk.rate for chunk in chunks) >= until_s:
            break
        assert time.monotonic() < deadline, f"{len(chunks)} chunks in time"
    return chunks


def length_s(chunks: list[AudioChunk]) -> float:
    return sum(len(chunk.samples) / chunk.rate for chunk in chunks)


def moved(request: Request) -> None:
    request.head(302, Location="/live.mp3")
