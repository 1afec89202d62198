"""Files from web servers, fetched politely: asked for once, one at a time, and taken up again.

- A file that is there is not asked for again; a feed is asked for only if it has changed (ETag and
  Last-Modified).
- Of one host, one file at a time is fetched, by all airsifts of this user together.
- ``Retry-After`` is respected. Without it, waits double.
- A broken download is continued where it broke, in a later run too, if the server says that the
  file is still the same; otherwise it begins anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from airsift.errors import SourceError
from airsift.files import write_whole
from stream.sources.web_address import public_name
from stream.sources.web_errors import WebError
from stream.sources.web_file import backoff_s, length_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPMessage
    from pathlib import Path

    from stream.runner import Stop
    from stream.sources.web_client import WebClient, WebResponse

Result = TypeVar("Result")

log = logging.getLogger(__name__)

ATTEMPTS = 4
_PIECE_BYTES = 1 << 16
_LOOK_S = 0.1
_SLOW_S, _SLOW_BYTES = 60.0, 60_000  # a server that sends less in this time counts as broken
_MAX_BACKOFF_S = 30.0
_TEXT_TIMEOUTS = 6  # times the timeout of one read, that a feed may take
_AGAIN = (0, 408, 425, 429, 500, 502, 503, 504)  # statuses that pass; 0 is a broken connection


class Stopped(SourceError):
    """The user wants to end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server may cost.

    Parameters
    ----------
    max_bytes : int > 0
        Of one body.
    max_wait_s : float >= 0
        Longest ``Retry-After`` that is waited for.
    """

    max_bytes: int
    max_wait_s: float


@dataclass(frozen=True, slots=True)
class Text:
    """The body of a feed, and what to ask with for a newer one."""

    body: bytes
    url: str
    content_type: str
    etag: str
    modified: str

    @property
    def conditions(self) -> dict[str, str]:
        """The headers of a request that is answered only if there is something new."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in named.items() if value}


class Downloads:
    """Fetches the files of one feed.

    Parameters
    ----------
    folder : Path
        Holds the locks of hosts.
    stop : Stop, optional
        Ends waits and downloads.
    """

    def __init__(self, folder: Path, stop: Stop | None = None) -> None:
        self._folder = folder
        self._stop = stop

    def text(
        self,
        client: WebClient,
        url: str,
        limits: Limits,
        before: Text | None,
        sniff: Callable[[bytes], bool],
    ) -> Text | None:
        """Return a body; `before` itself if there is nothing newer.

        None, after its first bytes, if `sniff` says of them that they are something else.

        Raises
        ------
        SourceError
            It cannot be fetched, or is too large.
        """
        headers = before.conditions if before is not None else {}

        def fetch() -> Text | None:
            try:
                response = client.get(url, headers=headers)
            except WebError as error:
                if error.status == 304 and before is not None:
                    return before
                raise
            try:
                return self._text(response, url, limits, client.settings.timeout_s, sniff)
            finally:
                response.close()

        with self._alone(url):
            return self._again(fetch, public_name(url), limits)

    def file(self, client: WebClient, url: str, path: Path, limits: Limits) -> None:
        """Fetch a file; it is at `path` when it is whole.

        Raises
        ------
        SourceError
            It cannot be fetched, is too large, or is a page of HTML. What came of it is kept beside
            `path` for the next time.
        """
        with self._alone(url):
            if not path.exists():  # another process may have fetched it
                self._again(lambda: self._file(client, url, path, limits), public_name(url), limits)

    def _text(
        self,
        response: WebResponse,
        url: str,
        limits: Limits,
        timeout_s: float,
        sniff: Callable[[bytes], bool],
    ) -> Text | None:
        name, body, deadline = public_name(url), b"", time.monotonic() + _TEXT_TIMEOUTS * timeout_s
        pieces, length, is_known = list[bytes](), 0, False
        while True:
            piece = response.read(_PIECE_BYTES)
            pieces.append(piece)
            length += len(piece)
            if not is_known and (length >= 512 or not piece):
                body = b"".join(pieces)
                pieces, is_known = [body], True
                if not sniff(body):
                    return None
            if not piece:
                break
            _check_size(name, length, limits)
            self._check_stop()
            if time.monotonic() > deadline:
                raise WebError(
                    f"{name}: is not there after {_TEXT_TIMEOUTS * timeout_s:g} s; try again later"
                )
        body = b"".join(pieces)
        stated = length_of(response.headers)
        if stated is not None and length < stated:
            raise WebError(f"{name}: ended {stated - length} bytes too early; try again later")
        kind, etag, modified = (
            response.headers.get(each, "").strip()
            for each in ("Content-Type", "ETag", "Last-Modified")
        )
        return Text(body, response.url, kind, etag, modified)

    def _file(self, client: WebClient, url: str, path: Path, limits: Limits) -> None:
        name = public_name(url)
        part, about = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
        start, validator = _resumable(part, about)
        try:
            response = client.get(url, start, validator=validator)
        except WebError as error:
            if start and error.status == 416:  # it is shorter now
                part.unlink(missing_ok=True)
                raise WebError(f"{name}: has changed; it is fetched anew") from None
            raise
        try:
            headers = response.headers
            if headers.get("Content-Type", "").lower().startswith("text/html"):
                raise SourceError(
                    f"{name}: answers with a page of HTML instead of audio; open the address in a "
                    "browser to see what it wants"
                )
            first, size = _range(headers) if response.status == 206 else (0, length_of(headers))
            if first != start:
                if first:
                    raise WebError(f"{name}: sends another part than was asked for")
                start = 0
            if size is not None:
                _check_size(name, size, limits)
            if not start:
                part.unlink(missing_ok=True)
                tag = _strong(headers)
                write_whole(about, json.dumps({"validator": tag}).encode())
            length = start
            checked, checked_at = length, time.monotonic()
            with part.open("ab") as file:
                while piece := response.read(_PIECE_BYTES):
                    length += len(piece)
                    now = time.monotonic()
                    if now - checked_at > _SLOW_S:
                        if length - checked < _SLOW_BYTES:
                            raise WebError(
                                f"{name}: sends less than 1 kB a second; try again later"
                            )
                        checked, checked_at = length, now
                    _check_size(name, length, limits)
                    file.write(piece)
                    self._check_stop()
        finally:
            response.close()
        if size is not None and length < size:
            raise WebError(f"{name}: ended {size - length} bytes too early; try again later")
        if not length:
            raise SourceError(f"{name}: is empty (0 bytes); check the feed")
        part.replace(path)
        about.unlink(missing_ok=True)

    def _again(self, fetch: Callable[[], Result], name: str, limits: Limits) -> Result:
        """Return what a request gives; after failures that pass, ask again."""
        for attempt in range(ATTEMPTS):
            try:
                return fetch()
            except WebError as error:
                wait_s = max(backoff_s(attempt, _MAX_BACKOFF_S), error.retry_after_s or 0.0)
                if (error.retry_after_s or 0.0) > limits.max_wait_s:
                    raise WebError(
                        f"{name}: asks to come back in {error.retry_after_s:.0f} s, which is more "
                        f"than podcasts.max_wait_s={limits.max_wait_s:g}; try again then",
                        status=error.status,
                        retry_after_s=error.retry_after_s,
                    ) from error
                if error.status not in _AGAIN or attempt == ATTEMPTS - 1:
                    raise
                log.info("%s; asked for again in %.1f s", error, wait_s)
                self._wait(wait_s)
        raise AssertionError("unreachable")

    @contextmanager
    def _alone(self, url: str) -> Iterator[None]:
        """Wait until no other airsift of this user fetches from the host of an address."""
        host = urlsplit(url).hostname or ""
        digest = hashlib.sha256(host.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{digest}.lock").open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._wait(_LOOK_S)
            yield  # the lock ends with the file

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_stop()
            time.sleep(min(_LOOK_S, left))

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.requested:
            raise Stopped("stopped")


def _check_size(name: str, size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise SourceError(
            f"{name}: has more than {limits.max_bytes / 1e6:g} MB; raise podcasts.max_feed_mb or "
            "podcasts.max_episode_mb if this is meant"
        )


def _resumable(part: Path, about: Path) -> tuple[int, str | None]:
    """Return how much of a file came before, and by what the server knows that it is the same."""
    try:
        length, fields = part.stat().st_size, json.loads(about.read_bytes())
        validator = fields["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, None
    # Without one, the rest of another file could be put behind it.
    return (length, validator) if length and isinstance(validator, str) and validator else (0, None)


def _strong(headers: HTTPMessage) -> str:
    tag: str = headers.get("ETag", "").strip()
    modified: str = headers.get("Last-Modified", "").strip()
    return tag if tag and not tag.startswith("W/") else modified


def _range(headers: HTTPMessage) -> tuple[int, int | None]:
    """Return the first byte of a partial answer, and the size of the whole file."""
    found = re.match(
        r"\s*bytes\s+(\d{1,19})-\d{1,19}/(\d{1,19}|\*)",
        headers.get("Content-Range", ""),
        re.IGNORECASE,
    )
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])
