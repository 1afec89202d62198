"""Why a web address cannot be read, as one line with the way out."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from airsift.errors import SourceError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_MAX_WAIT_DIGITS = 9  # of a Retry-After: 30 years are enough
_ADVICE = {
    403: "forbids access (HTTP 403 Forbidden); check the login, and that it may be read from here",
    404: "is not there (HTTP 404 Not Found); check the address",
    410: "is gone for good (HTTP 410 Gone); look for its new address",
}


class WebError(SourceError):
    """A web server is not reached, refuses, or stops in the middle.

    Parameters
    ----------
    message : str
        One line with the address's name, the reason and the way out.
    status : int
        HTTP status of the refusal; 0 where there was no answer.
    retry_after_s : float, optional
        Seconds after which the server requests a retry.
    """

    def __init__(
        self, message: str, *, status: int = 0, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


def retry_after_s(value: str | None, now: float) -> float | None:
    """Return the seconds in a ``Retry-After`` header, None if it is invalid.

    Parameters
    ----------
    value : str, optional
        A number of seconds, or a date.
    now : float
        Unix time.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= _MAX_WAIT_DIGITS:
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def refusal_of(name: str, response: HTTPResponse, *, had_login: bool) -> WebError:
    """Return the error for an answer that refuses."""
    status = response.status
    try:
        what = f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        what = f"HTTP {status}"
    wait_s = retry_after_s(response.headers.get("Retry-After"), time.time())
    if status == HTTPStatus.UNAUTHORIZED:
        text = f"asks for a login ({what}); set http.username and http.password_file"
        if had_login:
            text = f"refuses the login ({what}); check http.username and http.password_file"
    elif status in _ADVICE:
        text = _ADVICE[status]
    elif wait_s is not None:
        text = f"cannot serve now ({what}) and asks to come back in {wait_s:.0f} s"
    elif status in (HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)):
        text = f"cannot serve now ({what}); try again later"
    elif status == HTTPStatus.NO_CONTENT:
        text = f"answers without content ({what}); check the address"
    else:
        text = f"refuses ({what}); check the address"
    return WebError(f"{name}: {text}", status=status, retry_after_s=wait_s)


def reason_of(error: Exception) -> str:
    """Return the reason of a failure in a few words, without addresses or line breaks."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'no secure connection'}"
    if isinstance(error, socket.gaierror):
        return f"its host name is not known: {error.strerror}"
    if isinstance(error, http.client.IncompleteRead):
        return "it ended in the middle of a chunk"
    if isinstance(error, http.client.BadStatusLine):
        return "what answers is no web server"
    if isinstance(error, http.client.HTTPException):
        return f"its answer is not HTTP: {type(error).__name__}"
    if isinstance(error, OSError):
        return error.strerror or " ".join(str(error).split())[:80] or type(error).__name__
    return "it is no valid address"  # the error's text would hold it
