"""HTTP servers on the loopback that take alarms, or do not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """A server that keeps what is posted to it.

    Attributes
    ----------
    url : str
        Its address.
    statuses : list of int
        Its next answers; afterwards 200.
    hangs : bool
        Whether it answers nothing at all.
    drips : bool
        Whether it answers a byte now and then, for ever.
    posts : list of (str, dict, bytes)
        Path, headers and body of each request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.hangs = self.drips = False
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()

    def documents(self) -> list[Any]:
        """Return the JSON of each request."""
        return [json.loads(body) for _, _, body in self.posts]


@contextmanager
def hook() -> Iterator[Hook]:
    """Serve while the block runs."""
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.posts.append((self.path, dict(self.headers), body))
            if made.hangs:
                made.released.wait(60)
            try:
                while made.drips and not made.released.is_set():
                    self.wfile.write(b"H")
                    time.sleep(0.05)
                self.send_response(made.statuses.pop(0) if made.statuses else 200)
                self.send_header("Location", f"{made.url}/elsewhere")
                self.end_headers()
                self.wfile.write(b"that is\nit")
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.released.set()
            server.shutdown()
            thread.join()
