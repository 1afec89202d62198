"""Requests to web servers: redirections, logins, and each refusal as one line.

Old servers of web radios, whose answers begin with ``ICY 200 OK``, are supported.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from airsift import __version__
from airsift.errors import SourceError
from stream.sources.icy import REQUEST, IcyTitles, interval_of
from stream.sources.web_address import PublicOnly, check_scheme, public_name
from stream.sources.web_errors import WebError, reason_of, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage, HTTPResponse

    from stream.sources.settings import HttpSettings

MAX_REDIRECTIONS = 10
_REDIRECTIONS = (301, 302, 303, 307, 308)
USER_AGENT = f"airsift/{__version__}"


class WebResponse:
    """The answer to one request; its body is read as it arrives.

    Titles between the audio of a web radio are no part of the body.

    Attributes
    ----------
    url : str
        The address after all redirections.
    status : int
        HTTP status, 200 to 299.
    headers : HTTPMessage
        The headers of the answer.
    is_icy : bool
        Whether the answer began with ``ICY``, which only web radios send.
    """

    def __init__(self, url: str, name: str, response: HTTPResponse) -> None:
        self.url = url
        self.status = response.status
        self.headers: HTTPMessage = response.headers
        self.is_icy = getattr(response, "is_icy", False)
        self._name = name
        self._response = response
        interval = interval_of(response.headers.get("icy-metaint"))
        self._titles = IcyTitles(interval) if interval else None

    @property
    def title(self) -> str | None:
        """What a web radio says is playing, if it was asked; None if it says nothing."""
        return self._titles.title if self._titles is not None else None

    def read_to_its_end(self) -> None:
        """Ignore ``Content-Length``: the body ends with the connection."""
        self._response.length = None

    def read(self, n: int) -> bytes:
        """Return up to `n` bytes as soon as there are any; none at the end of the body.

        Raises
        ------
        WebError
            The connection broke, or nothing was received for `HttpSettings.timeout_s`.
        """
        try:
            data = self._response.read1(n)
            while self._titles is not None and data:
                if audio := self._titles.push(data):
                    return audio
                data = self._response.read1(n)
            return data
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise WebError(f"{self._name}: the connection broke ({reason_of(error)})") from error

    def close(self) -> None:
        """End the connection. Safe from another thread: a read that waits there ends."""
        _shut(self._response)
        with suppress(OSError, ValueError):
            self._response.close()


class WebClient:
    """Sends the requests of one address, its redirections and list entries.

    Parameters
    ----------
    url : str
        The address; the login of the settings is for its server.
    settings : HttpSettings
        Settings of the requests.
    titles : bool
        Whether web radios are asked for titles.
    """

    def __init__(self, url: str, settings: HttpSettings, *, titles: bool = False) -> None:
        self.settings = settings
        self._asked = REQUEST if titles else {}
        self._password = settings.password()
        self.guard = None if settings.allow_private else PublicOnly()
        self._server = _server(url)
        self._opener = _opener(self.guard.url if self.guard else None)

    def close(self) -> None:
        """Stop the proxy, where there is one."""
        if self.guard is not None:
            self.guard.close()

    def get(
        self,
        url: str,
        start: int = 0,
        *,
        validator: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> WebResponse:
        """Request the body at an address, from byte `start` on.

        Parameters
        ----------
        url : str
            http or https, with its own login if it has one.
        start : int >= 0
            A server without ranges answers with status 200 and the whole body.
        validator : str, optional
            Entity tag or date: if the body has changed, all of it is returned.
        headers : mapping, optional
            Further headers of the request. The answer to a conditional one may be a `WebError` with
            the status 304.

        Raises
        ------
        WebError
            No server is reached, or it refuses.
        SourceError
            A redirection is not http or https, or is refused by `HttpSettings.allow_private`.
        """
        name = public_name(url)
        sent = {"User-Agent": USER_AGENT, "Accept": "*/*", **self._asked, **(headers or {})}
        if start:
            sent["Range"] = f"bytes={start}-"
            if validator:
                sent["If-Range"] = validator
        visited = [url]
        login = self.login(url)
        while True:
            response = self._request(visited[-1], name, sent, login)
            if response.status not in _REDIRECTIONS:
                break
            response.close()
            to = _target(visited, response, name)
            if _server(to) != _server(visited[-1]):
                login = ""
            login = self.login(to) or login
            visited.append(to)
        if not 200 <= response.status < 300 or response.status == HTTPStatus.NO_CONTENT:
            refusal = refusal_of(name, response, had_login=bool(login))
            response.close()
            raise refusal
        return WebResponse(visited[-1], name, response)

    def check_guard(self, name: str, error: Exception) -> None:
        """Raise a `SourceError` if an address was refused as private since the last call."""
        if self.guard is not None and self.guard.refused:
            raise self._private(name) from error

    def login(self, url: str) -> str:
        """Return the login for an address as ``name:password``, "" for none."""
        own = urlsplit(url).netloc.rpartition("@")[0]
        if own:
            return unquote(own)
        if self.settings.username and _server(url) == self._server:
            return f"{self.settings.username}:{self._password}"
        return ""

    def _request(self, url: str, name: str, headers: dict[str, str], login: str) -> HTTPResponse:
        """Return the answer of one server, whatever its status is."""
        check_scheme(url, name)
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        plain = urlunsplit(parts._replace(netloc=host, fragment=""))
        sent = dict(headers)
        if login:
            sent["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        timeout_s = self.settings.timeout_s
        connection = _Connecting()
        # A server may send its headers byte by byte, for ever.
        watch = threading.Timer(timeout_s, connection.abort)
        watch.daemon = True
        watch.start()
        try:
            request = urllib.request.Request(plain, headers=sent)  # noqa: S310 - see check_scheme
            request.connecting = connection  # type: ignore[attr-defined]
            response: HTTPResponse = self._opener.open(request, timeout=timeout_s)
        except urllib.error.URLError as error:
            cause = error.reason if isinstance(error.reason, Exception) else error
            raise self._unreachable(name, cause, connection) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._unreachable(name, error, connection) from error
        finally:
            watch.cancel()
        if self.guard is not None and self.guard.refused and response.status == 403:
            response.close()
            raise self._private(name)
        return response

    def _unreachable(self, name: str, error: Exception, connection: _Connecting) -> SourceError:
        if self.guard is not None and self.guard.refused:
            return self._private(name)
        if connection.aborted:
            error = TimeoutError()
        if isinstance(error, ssl.SSLError):
            way_out = "check the address, the server's certificate and this machine's clock"
        else:
            way_out = "check the address and the network"
        return WebError(f"{name}: cannot be opened ({reason_of(error)}); {way_out}")

    def _private(self, name: str) -> SourceError:
        assert self.guard is not None
        refused, self.guard.refused = self.guard.refused, ""
        return SourceError(
            f"{name}: leads to {refused}, which is no public address, and "
            "http.allow_private=false; set it to true if this is meant"
        )


class _Connecting:
    """A connection that is being made, which may be ended from another thread."""

    def __init__(self) -> None:
        self.aborted = False
        self._socket: socket.socket | None = None

    def connected(self, connection: socket.socket) -> None:
        self._socket = connection
        if self.aborted:
            raise TimeoutError

    def abort(self) -> None:
        self.aborted = True
        if self._socket is not None:
            _shut_socket(self._socket)


class _StatusLine:
    """A reader whose first line may begin with ``ICY`` instead of ``HTTP/1.0``."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader = reader
        self.is_icy: bool | None = None

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._reader.readline(limit)
        if self.is_icy is None:
            self.is_icy = line[:4] == b"ICY "
            if self.is_icy:
                return b"HTTP/1.0" + line[3:]
        return line

    def __getattr__(self, name: str) -> object:
        return getattr(self._reader, name)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.socket = sock
        self.is_icy = False

    def begin(self) -> None:
        lines = _StatusLine(self.fp)
        self.fp = lines  # type: ignore[assignment]
        super().begin()
        self.is_icy = bool(lines.is_icy)


class _Plain(http.client.HTTPConnection):
    response_class = _Response
    connecting: _Connecting

    def connect(self) -> None:
        super().connect()
        self.connecting.connected(self.sock)


class _Secure(http.client.HTTPSConnection):
    response_class = _Response
    connecting: _Connecting

    def connect(self) -> None:
        super().connect()
        self.connecting.connected(self.sock)


class _OpensPlain(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_making(_Plain, request), request)


class _OpensSecure(urllib.request.HTTPSHandler):
    def __init__(self) -> None:
        self._trusted = _trusted()
        super().__init__(context=self._trusted)

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_making(_Secure, request), request, context=self._trusted)


class _Through(urllib.request.BaseHandler):
    """Sends every request through one proxy, whatever exceptions the environment defines."""

    handler_order = 100  # before those that connect

    def __init__(self, proxy: str) -> None:
        self._proxy = proxy

    def http_open(self, request: urllib.request.Request) -> None:
        request.set_proxy(self._proxy, "http")

    https_open = http_open


def _making(
    kind: type[_Plain] | type[_Secure], request: urllib.request.Request
) -> Callable[..., _Plain | _Secure]:
    """Return the function that makes a connection for one request."""

    def make(host: str, **options: Any) -> _Plain | _Secure:
        connection = kind(host, **options)
        connection.connecting = request.connecting  # type: ignore[attr-defined]
        return connection

    return make


def _opener(proxy: str | None) -> urllib.request.OpenerDirector:
    """Return an opener for http and https only, without urllib's files, ftp and data.

    Refusals and redirections are returned like other answers; the caller handles them.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler() if proxy is None else _Through(urlsplit(proxy).netloc),
        urllib.request.UnknownHandler(),
        _OpensPlain(),
        _OpensSecure(),
    ):
        opener.add_handler(handler)
    return opener


def _trusted() -> ssl.SSLContext:
    context = ssl.create_default_context()
    file = authorities()
    if file is not None and not context.get_ca_certs():
        context.load_verify_locations(file)
    return context


def authorities() -> str | None:
    """Return the file of certificate authorities this machine trusts, if it has one."""
    known = ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"
    return next((path for path in known if path and Path(path).is_file()), None)


def _server(url: str) -> tuple[str, str]:
    """Return scheme, and host with port, to which a login belongs."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, f"{parts.hostname}:{port}"
    except ValueError:
        return "", ""


def _target(visited: list[str], response: HTTPResponse, name: str) -> str:
    """Return the target of a redirection."""
    location = response.headers.get("Location")
    if not location:
        raise WebError(
            f"{name}: redirects without saying where to (HTTP {response.status}); "
            "check the address",
            status=response.status,
        )
    try:
        to = urljoin(visited[-1], location.strip())
    except ValueError:
        to = location
    check_scheme(to, f"{name}: redirects")
    if to in visited:
        raise WebError(
            f"{name}: its redirections lead in a circle, over {public_name(to)}; check the address",
            status=response.status,
        )
    if len(visited) > MAX_REDIRECTIONS:
        raise WebError(
            f"{name}: redirects more than {MAX_REDIRECTIONS} times; give the address that it "
            "leads to",
            status=response.status,
        )
    return to


def _shut(response: HTTPResponse) -> None:
    connection = getattr(response, "socket", None)
    if connection is not None:
        _shut_socket(connection)


def _shut_socket(connection: socket.socket) -> None:
    with suppress(OSError):  # not connected any more
        # Not the method of a TLS socket, which changes what another thread may be reading from.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
