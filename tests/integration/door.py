"""A door in front of a broker: shut, the broker is away for its clients and keeps what it has."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Door:
    """Passes connections on, from one loopback port for all its life; begins open."""

    def __init__(self):
        self._broker = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._through = []

    def __enter__(self):
        self._begin()
        return self

    def __exit__(self, *_):
        self.shut()

    def lead_to(self, port):
        """Say where the broker is."""
        self._broker = port

    def shut(self):
        """Close all connections, and refuse new ones."""
        for each in (self._listener, *self._through):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._through.clear()

    def open(self):
        """Let connections through again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._begin()

    def _begin(self):
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def _accept(self, listener):
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker))
                self._through += [client, broker]
                for ends in ((client, broker), (broker, client)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()


def pass_on(source, target):
    """Send on what a connection brings, until it ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
