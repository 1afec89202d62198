"""Who may use the page and its API: checked in one place, before anything else sees a request.

In this order: the name that the browser calls us by (a foreign name may have been made to lead
here: DNS rebinding), the page that a request comes from (cookies and loopback are open to every
page that the browser shows), and the token or the header of a reverse proxy.

On loopback everybody on this machine may; on any other address nobody without one of the two.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airsift.web.settings import WebSettings

COOKIE = "airsift"
MIN_TOKEN = 16  # characters: more than can be tried
_OPEN = ("/login", "/static/app.css", "/static/login.js", "/static/icon.svg")
_SAFE = ("GET", "HEAD", "OPTIONS")
# The page has no inline script or style, and asks no other host. Nothing may frame it, and texts
# cannot become HTML, even by mistake.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; media-src 'self' blob:; frame-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused, and with which status."""

    status: HTTPStatus
    reason: str


class Access:
    """The rules.

    Parameters
    ----------
    settings : WebSettings
        Address, token, proxy and names.

    Raises
    ------
    ConfigError
        The address is not loopback, and there is neither a token nor a proxy's header.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._token = _read_token(settings.token_file) if settings.token_file else ""
        self._header = settings.proxy_header.strip().lower()
        self._proxies = settings.proxy_addresses
        self._hosts = {"localhost", *(host.lower() for host in settings.hosts)}
        if not (self._token or self._header or is_loopback(settings.address)):
            raise ConfigError(
                f"web.address={settings.address!r}: others can reach it, so set web.token_file or "
                "web.proxy_header, or listen on 127.0.0.1"
            )

    @property
    def needs_token(self) -> bool:
        """Whether people log in with a token."""
        return bool(self._token)

    @property
    def cookie(self) -> str:
        """The value of the cookie of those who know the token: it tells nothing about it."""
        return hmac.new(self._token.encode(), b"airsift web", hashlib.sha256).hexdigest()

    def knows(self, token: str) -> bool:
        """Whether this is the token."""
        return bool(self._token) and hmac.compare_digest(self._token.encode(), token.encode())

    def refusal(
        self, *, method: str, path: str, headers: Mapping[str, str], peer: str, is_socket: bool
    ) -> Refusal | None:
        """Return why a request is refused, None where it is not.

        Parameters
        ----------
        method, path : str
            Of the request.
        headers : mapping of str to str
            By names in small letters.
        peer : str
            The address it comes from.
        is_socket : bool
            Whether it opens a WebSocket.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            return Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this host name is not in web.hosts; call the page by its IP address, by "
                "localhost, or add the name there",
            )
        origin = headers.get("origin")
        is_foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        is_foreign |= headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if is_foreign and (is_socket or method not in _SAFE):
            return Refusal(HTTPStatus.FORBIDDEN, "this request comes from a page of another site")
        if path in _OPEN or not (self._token or self._header):
            return None
        if self._header and headers.get(self._header) and peer in self._proxies:
            return None
        if self._token and (
            self.knows(_bearer(headers))
            or hmac.compare_digest(_cookie(headers).encode(), self.cookie.encode())
        ):
            return None
        ways = ["Authorization: Bearer TOKEN, or log in at /login"] if self._token else []
        ways += [f"a proxy's {self._header}"] if self._header else []
        return Refusal(HTTPStatus.UNAUTHORIZED, f"this needs {', or '.join(ways)}")

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names us: an IP address cannot be made to lead elsewhere."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.lower() in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class Guard:
    """Refuses requests by the rules, and puts the security headers on every answer.

    Parameters
    ----------
    app : ASGI application
        Gets what is not refused.
    access : Access
        The rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        is_socket = scope["type"] == "websocket"
        refusal = self._access.refusal(
            method=scope.get("method", "GET"),
            path=scope["path"],
            headers=headers,
            peer=(scope.get("client") or ("", 0))[0],
            is_socket=is_socket,
        )
        if refusal is not None and is_socket:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": ""})  # 403
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (k.encode(), v.encode())
                        for k, v in HEADERS.items()
                        if k.lower().encode() not in given
                    ),
                    *([] if b"cache-control" in given else [(b"cache-control", b"no-store")]),
                ]
            await send(message)

        if refusal is None:
            await self._app(scope, receive, send_with_headers)
            return
        from starlette.responses import JSONResponse, RedirectResponse

        wants_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
        response: Any = JSONResponse({"error": refusal.reason}, status_code=refusal.status)
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            if wants_page and self._access.needs_token:
                response = RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
            else:
                response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send_with_headers)


def _read_token(path: str) -> str:
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"web.token_file={path!r}: is not text that can be read; name a file with a token of "
            f"at least {MIN_TOKEN} characters, as `openssl rand -hex 24` makes"
        ) from None
    if len(token) < MIN_TOKEN or not (token.isascii() and token.isprintable()):
        raise ConfigError(
            f"web.token_file={path!r}: holds {len(token)} characters; a token is one line of at "
            f"least {MIN_TOKEN} of ASCII, as `openssl rand -hex 24` makes"
        )
    return token


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _cookie(headers: Mapping[str, str]) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
