"""Web addresses: their names in messages, and the restriction to http, https and public hosts.

A login and a query may be secrets, so names and messages do not contain them. Addresses from the
network (entries of lists, redirections) must be http or https. If private addresses are refused,
FFmpeg connects through the proxy `PublicOnly`: FFmpeg resolves names and follows redirections and
playlists by itself, so a check in advance is not sufficient.
"""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import socketserver
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

from airsift.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMES = ("http", "https")
_HEAD_BYTES = 65_536  # of one request; FFmpeg's have less than 1 kB
_CONNECT_S = 10.0
_LOOK_S = 0.5
_PIECE_BYTES = 65_536
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def public_name(url: str) -> str:
    """Return an address without login, query and fragment, for names and messages.

    Parameters
    ----------
    url : str
        Any text; if it is not an address, it is cut at its first ``?`` and ``#``.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        scheme, _, rest = url.partition("://")
        rest = rest.split("?")[0].split("#")[0].rpartition("@")[2]
        return f"{scheme}://{rest}"


def check_scheme(url: str, name: str) -> None:
    """Refuse an address that is not http or https.

    Parameters
    ----------
    url : str
        The address.
    name : str
        Origin of the address, for the message.

    Raises
    ------
    SourceError
        With the scheme; the address itself may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme.lower()
        _ = parts.port
    except ValueError:
        host, scheme = None, url.partition(":")[0].lower()
    if scheme in SCHEMES and host:
        return
    shown = public_name(url)[:80] if scheme in SCHEMES else f"{scheme[:20] or url[:20]!r}"
    raise SourceError(
        f"{name}: {shown} is no address of a web server; only http:// and https:// are read"
    )


def is_public(address: str) -> bool:
    """Return whether an IP address is public.

    Loopback, link-local (including cloud metadata), private, shared, multicast and reserved
    addresses are not, nor are IPv6 addresses that contain one of them.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class PublicOnly:
    """An HTTP proxy on the loopback that connects only to public addresses.

    It resolves each name and connects to the address that it checked, so no redirection, playlist
    entry or changing DNS name leads to a private host.

    Parameters
    ----------
    allowed : callable
        Returns whether an IP address is allowed.

    Attributes
    ----------
    url : str
        Address of the proxy.
    refused : str
        The last refused host and its address; "" if there is none.
    """

    def __init__(self, allowed: Callable[[str], bool] = is_public) -> None:
        self.allowed = allowed
        self.refused = ""
        # FFmpeg bypasses the proxy for the hosts in this variable.
        os.environ.pop("no_proxy", None)
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.guard = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _LOOK_S},
            name="public addresses only",
            daemon=True,
        ).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._server.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to a host at one of its public addresses.

        Raises
        ------
        PermissionError
            It has none.
        OSError
            It is unknown, or none of its addresses answers.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        allowed = [each for each in found if self.allowed(str(each[4][0]))]
        if not allowed:
            self.refused = f"{host} ({found[0][4][0]})"
            raise PermissionError(self.refused)
        failed: OSError | None = None
        for family, kind, protocol, _, address in allowed:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_CONNECT_S)
                connection.connect(address)
            except OSError as error:
                connection.close()
                failed = error
            else:
                return connection
        assert failed is not None
        raise failed


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    guard: PublicOnly

    def __init__(
        self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]
    ) -> None:
        super().__init__(address, handler)
        self.stopped = threading.Event()


class _Connection(socketserver.BaseRequestHandler):
    """One request of FFmpeg's or urllib's, and its answer."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        try:
            self.request.settimeout(_CONNECT_S)
            head, rest = self._head()
            method, target, version = head.split(b"\r\n")[0].split(b" ")
            host, port, first = _destination(method, target, version)
        except (OSError, ValueError):
            self._answer(b"400 Bad Request")
            return
        try:
            upstream = self.server.guard.connect(host, port)
        except PermissionError:
            self._answer(b"403 Forbidden")
            return
        except (OSError, UnicodeError):
            self._answer(b"502 Bad Gateway")
            return
        with closing(upstream):
            if not first:
                self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                upstream.sendall(rest)
            else:
                upstream.sendall(_forwarded(first, head) + rest)
            self._splice(upstream)

    def _head(self) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.request.recv(_PIECE_BYTES)
            if not piece or len(data) > _HEAD_BYTES:
                raise ValueError("no whole request")
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    def _answer(self, status: bytes) -> None:
        text = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        try:
            self.request.sendall(text)
        except OSError:
            return

    def _splice(self, upstream: socket.socket) -> None:
        """Forward bytes in both directions until one side ends."""
        other = {self.request: upstream, upstream: self.request}
        for each in other:
            each.settimeout(None)
        try:
            while not self.server.stopped.is_set():
                for each in select.select(list(other), [], [], _LOOK_S)[0]:
                    piece = each.recv(_PIECE_BYTES)
                    if not piece:
                        return
                    other[each].sendall(piece)
        except OSError:
            return


def _destination(method: bytes, target: bytes, version: bytes) -> tuple[str, int, bytes]:
    """Return host, port and the request line to send there; no line for a tunnel."""
    if method == b"CONNECT":
        parts = urlsplit("//" + target.decode("ascii"))
        if parts.hostname is None or parts.port is None:
            raise ValueError("no host and port")
        return parts.hostname, parts.port, b""
    parts = urlsplit(target.decode("ascii"))
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError("not http")
    path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return parts.hostname, parts.port or 80, b" ".join([method, path.encode(), version])


def _forwarded(first: bytes, head: bytes) -> bytes:
    """Return the head of a request for the server: one request per connection."""
    lines = [
        line
        for line in head.split(b"\r\n")[1:]
        if line.split(b":")[0].strip().lower()
        not in (b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive")
    ]
    return b"\r\n".join([first, *lines, b"Connection: close", b"", b""])
