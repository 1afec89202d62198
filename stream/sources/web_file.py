"""The body at a web address as a file object: a live stream, or a file that can be resumed.

Classification by the answer's headers::

    an icy- or ice- header, or a first line with ICY             live
    Content-Length with Accept-Ranges, ETag or Last-Modified     file
    Content-Length alone                                         file, unless a second request
                                                                 returns other bytes
    Content-Length of 2 GiB less a byte, or more, alone          live
    no Content-Length                                            live, unless it sends far more
                                                                 than a live stream can
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING

from airsift.errors import SourceError
from stream.sources.web_errors import WebError

if TYPE_CHECKING:
    from http.client import HTTPMessage

    from stream.sources.web_client import WebClient, WebResponse

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.5
MAX_RETRY_AFTER = 10  # times the longest backoff, that a server may request
_SAME_BYTES = 65_536  # two answers with this many equal bytes are one file
_MAX_RESUMES = 8  # in a row, without `_SAME_BYTES` more
_NO_LENGTH = 2**31 - 1  # and more: sent by programs that must state an unknown length
_READ_BYTES = 65_536
_INDEXED = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # what MP4 and MOV begin with
_FINAL = (401, 403, 404, 410, 416)  # refusals that waiting does not change


class Sign(Enum):
    """Classification of a body by its headers."""

    LIVE = "live"
    FILE = "file"
    ONLY_LENGTH = "only length"
    NO_LENGTH = "no length"


def sign_of(response: WebResponse) -> Sign:
    """Return whether a body is a live stream or a file, by its headers."""
    headers = response.headers
    if response.is_icy or any(name.lower().startswith(("icy-", "ice-")) for name in headers):
        return Sign.LIVE
    length = length_of(headers)
    if length is None:
        return Sign.NO_LENGTH
    if _has_ranges(headers) or headers.get("ETag") or headers.get("Last-Modified"):
        return Sign.FILE
    return Sign.LIVE if length >= _NO_LENGTH else Sign.ONLY_LENGTH


def length_of(headers: HTTPMessage) -> int | None:
    """Return the length of the body, None if it is not stated."""
    text = headers.get("Content-Length", "").strip()
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) and not chunked else None


def backoff_s(attempt: int, max_s: float, requested_s: float | None = None) -> float:
    """Return how long to wait before an attempt to connect again.

    Parameters
    ----------
    attempt : int >= 0
        Consecutive failures. Waits double from 0.5 s, and are shortened at random so that many
        clients do not return at once.
    max_s : float > 0
        Longest wait.
    requested_s : float, optional
        Wait requested by the server; up to ten times `max_s`.
    """
    wait_s = min(FIRST_BACKOFF_S * 2.0 ** min(attempt, 30), max_s) * random.uniform(0.5, 1.0)  # noqa: S311
    return max(wait_s, min(requested_s or 0.0, MAX_RETRY_AFTER * max_s))


class WebFile:
    """The body at an address, for PyAV and others that read file objects.

    Unlike a file on disk it should be read only once, which `is_remote` indicates.

    An interrupted file is resumed: by a range, or, if the server has none, by reading it again up
    to that byte. An interrupted live stream ends.

    Parameters
    ----------
    client : WebClient
        Sends requests.
    response : WebResponse
        The answer to the first one.
    name : str
        Its name in messages.

    Attributes
    ----------
    sign : Sign
        Classification by the headers.
    size : int or None
        Bytes of a file, if known.
    live : bool
        Whether it is a live stream, as far as is known.
    broken : str
        Why it was interrupted; "" if it was not.
    deadline : float or None
        Time by `time.monotonic` after which it counts as broken: for opening, and for servers
        that send bytes without audio.
    timeout_s : float
        Seconds without a byte after which it counts as broken.
    """

    is_remote = True

    def __init__(self, client: WebClient, response: WebResponse, name: str) -> None:
        self.name = name
        self.url = response.url
        self.headers = response.headers
        self.sign = sign_of(response)
        self.size = None if self.sign is Sign.LIVE else length_of(response.headers)
        if self.sign is Sign.LIVE:  # which may state a meaningless length
            response.read_to_its_end()
        self.live = self.sign in (Sign.LIVE, Sign.NO_LENGTH)
        self.broken = ""
        self.deadline: float | None = None
        self.timeout_s = client.settings.timeout_s
        self.first = b""  # its first bytes, up to `_SAME_BYTES`
        self._client = client
        self._response: WebResponse | None = response
        self._closed = threading.Event()
        self._at = 0  # byte that `read` gives next
        self._next = 0  # byte that the response gives next
        self._resumes = 0
        self._resumed_at = 0
        self._tags = [response.headers.get(tag) for tag in ("ETag", "Last-Modified")]

    @property
    def title(self) -> str | None:
        """What a web radio says is playing, see `WebResponse.title`."""
        return self._response.title if self._response is not None else None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether FFmpeg may ask for bytes in any order.

        MP4 may need it, and an MP3 file with a tag only wants to know its size; of others FFmpeg
        asks for the end. A server without ranges sends all bytes up to there.
        """
        if self.sign not in (Sign.FILE, Sign.ONLY_LENGTH):
            return False
        is_cheap = self.first[4:8] in _INDEXED or self.first[:3] == b"ID3"
        return is_cheap or (self.sign is Sign.FILE and _has_ranges(self.headers))

    def tell(self) -> int:
        """Return the index of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a byte; the next `read` requests it from the server."""
        base = (0, self._at, self.size or 0)[whence]
        self._at = max(base + offset, 0)
        return self._at

    def peek(self, n: int) -> bytes:
        """Return the first bytes, at least `n` if it has as many, without consuming them.

        Raises
        ------
        WebError
            The connection broke before.
        """
        while len(self.first) < min(n, _SAME_BYTES) and self._response is not None:
            if not self._receive(_READ_BYTES):
                break
        return self.first

    def read(self, n: int = -1) -> bytes:
        """Return the next bytes as soon as there are any, at most `n`; none at the end.

        An interruption of a live stream, or of a file that cannot be resumed, is an end, too;
        `broken` is the reason.
        """
        n = n if n >= 0 else _READ_BYTES
        if self._at < len(self.first):
            data = self.first[self._at : self._at + n]
            self._at += len(data)
            return data
        while not self._closed.is_set():
            if self.size is not None and self._at >= self.size:
                return b""
            try:
                data = self._read(n)
                if data or (self.size is None and self._next == self._at):
                    return data
                failure = f"it ended {(self.size or 0) - self._at} bytes too early"
            except SourceError as error:
                failure = str(error).removeprefix(f"{self.name}: ")
            if self.live or not self._resume(failure):
                self.broken = self.broken or failure
                return b""
        self.broken = "it was closed"
        return b""

    def close(self) -> None:
        """End the connection. Safe from another thread: a read that waits there ends."""
        self._closed.set()
        if self._response is not None:
            self._response.close()

    def is_same_file(self, other: WebFile) -> bool:
        """Return whether two answers from one address are one file: their first bytes are equal."""
        n = 0
        while n < len(self.first) and self.first.startswith(other.peek(n + 1)[: len(self.first)]):
            if len(other.first) == n:  # it has no more
                break
            n = len(other.first)
        return 0 < len(self.first) <= n

    def _read(self, n: int) -> bytes:
        if self._response is None or self._next != self._at:
            self._request(self._at)
        data = self._receive(n)
        self._at = self._next
        return data

    def _receive(self, n: int) -> bytes:
        """Return the next bytes of the response, and note the first ones."""
        assert self._response is not None
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise WebError(f"{self.name}: it sends no audio in time")
        data = self._response.read(n)
        if self._next == len(self.first) < _SAME_BYTES:
            self.first += data
        self._next += len(data)
        return data

    def _request(self, start: int) -> None:
        """Request the bytes from `start` on.

        Raises
        ------
        WebError
            The server refuses, or has another file now.
        """
        if self._response is not None:
            self._response.close()
            self._response = None
        validator = next(filter(None, self._tags), None)
        # A weak tag cannot prove that the bytes are the same.
        validator = None if validator and validator.startswith("W/") else validator
        response = self._client.get(self.url, start, validator=validator)
        if self._closed.is_set():
            response.close()
            raise WebError(f"{self.name}: it was closed")
        if response.status == 206 and _range_start(response.headers) == start:
            self._response, self._next = response, start
            return
        if not self._is_same(response):
            response.close()
            self.live = self.sign is not Sign.FILE
            self.size = None if self.live else self.size
            raise WebError(f"{self.name}: it gives other bytes than before")
        self._response = response
        while self._next < start:
            if not self._receive(min(_READ_BYTES, start - self._next)):
                raise WebError(f"{self.name}: it is shorter than before")

    def _is_same(self, response: WebResponse) -> bool:
        """Return whether a body begins with the same bytes as before, which are read."""
        self._next = 0
        while self._next < len(self.first):
            data = response.read(len(self.first) - self._next)
            if not data or not self.first.startswith(data, self._next):
                return False
            self._next += len(data)
        return True

    def _resume(self, failure: str) -> bool:
        """Resume after an interruption; return False if that is impossible."""
        if self._at - self._resumed_at > _SAME_BYTES:
            self._resumes = 0
        self._resumed_at = self._at
        requested_s: float | None = None
        while self._resumes < _MAX_RESUMES:
            wait_s = backoff_s(self._resumes, self._client.settings.max_backoff_s, requested_s)
            log.info("%s: %s; taken up again at byte %d", self.name, failure, self._at)
            self._resumes += 1
            if self._closed.wait(wait_s):
                return False
            try:
                self._request(self._at)
            except WebError as error:
                self.broken = failure = str(error).removeprefix(f"{self.name}: ")
                requested_s = error.retry_after_s
                if self.live or error.status in _FINAL:
                    return False
            else:
                self.broken = ""
                return True
        return False


def _has_ranges(headers: HTTPMessage) -> bool:
    return headers.get("Accept-Ranges", "").strip().lower() == "bytes"


def _range_start(headers: HTTPMessage) -> int | None:
    found = re.match(r"\s*bytes\s+(\d{1,19})-", headers.get("Content-Range", ""), re.IGNORECASE)
    return int(found[1]) if found else None
