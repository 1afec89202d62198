"""Open the audio at a web address: follow lists, and report content that is not audio."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast
from urllib.parse import quote, urlsplit, urlunsplit

from airsift.errors import DecodeError, SourceError
from stream.decoding.framing import frame_start
from stream.decoding.reader import AudioReader
from stream.sources.web_address import check_scheme, public_name
from stream.sources.web_client import USER_AGENT, WebClient, authorities
from stream.sources.web_content import (
    HEAD_BYTES,
    MAX_ENTRIES,
    MAX_LIST_BYTES,
    Content,
    Kind,
    content_of,
    entries,
    is_text,
)
from stream.sources.web_errors import WebError
from stream.sources.web_file import Sign, WebFile

if TYPE_CHECKING:
    from airsift.errors import AirsiftError

_MAX_DEPTH = 3  # lists that name lists
_OPENING_S = 2.0  # s of a live stream that FFmpeg may need, in addition to the time for an answer
# Content from the network may open no files and no connections.
_OPTIONS = {"protocol_whitelist": "none"}


class Reading(NamedTuple):
    """Seconds in a block of a live stream and of a file, the track, and if channels are kept."""

    live_s: float
    file_s: float
    track: str | None = None
    keep_channels: bool = False


class WebAudio:
    """The audio at a web address.

    Attributes
    ----------
    reader : AudioReader
        Decodes it.
    file : WebFile or None
        Its bytes; None for HLS, whose segments FFmpeg requests itself.
    url : str
        Its address: an entry of the opened list, or the given address.
    """

    def __init__(self, reader: AudioReader, file: WebFile | None, url: str) -> None:
        self.reader = reader
        self.file = file
        self.url = url

    @property
    def live(self) -> bool:
        """Whether it is a live stream, as far as is known."""
        return not self.reader.finite if self.file is None else self.file.live

    def close(self) -> None:
        """Close reader and connection. Not while another thread reads."""
        if self.file is not None:
            self.file.close()
        self.reader.close()


def open_web_file(client: WebClient, url: str, name: str | None = None) -> WebFile:
    """Open an address as a stream of any bytes.

    Parameters
    ----------
    client : WebClient
        Sends the requests.
    url : str
        http or https.
    name : str, optional
        Its name in messages; by default the address without login and query.

    Raises
    ------
    SourceError
        No answer, or the server refuses.
    """
    name = name or public_name(url)
    check_scheme(url, name)
    return WebFile(client, client.get(url), name)


def open_web_audio(
    client: WebClient, url: str, reading: Reading, *, first: str | None = None
) -> WebAudio:
    """Open the audio at an address, or at the first entry with audio of a list.

    Parameters
    ----------
    client : WebClient
        Sends the requests.
    url : str
        http or https.
    reading : Reading
        Lengths of the reader's blocks, and the track.
    first : str, optional
        An entry that worked before; it is tried before the list is requested.

    Raises
    ------
    SourceError
        No answer, or the server refuses.
    DecodeError
        The content is not audio, or does not decode.
    """
    if first is not None and first != url:
        try:
            return _open(client, first, public_name(url), reading, 1)
        except (SourceError, DecodeError):
            pass  # the list may have changed
    return _open(client, url, public_name(url), reading, 0)


def _open(client: WebClient, url: str, name: str, reading: Reading, depth: int) -> WebAudio:
    file = open_web_file(client, url, name)
    try:
        content = _detect(file)
        if content.kind is Kind.AUDIO:
            return WebAudio(_reader(file, reading), file, url)
        if content.kind is Kind.LIST:
            found = entries(file.first, content.name, file.url, name)
            file.close()
            return _first_of(client, found, url, name, reading, depth)
        file.close()
        if content.kind is Kind.HLS:
            return WebAudio(_hls_reader(client, file.url, url, name, reading), None, url)
    except BaseException:
        file.close()
        raise
    raise DecodeError(f"{name}: is {content.name}, no audio; check the address")


def _detect(file: WebFile) -> Content:
    """Return the content of an answer; a text is read up to a limit."""
    file.deadline = time.monotonic() + _deadline_s(file)
    head = file.peek(1)
    while len(head) < HEAD_BYTES and is_text(head):
        head, before = file.peek(len(head) + 1), head
        if head == before:
            break
    if head and is_text(head):
        head = file.peek(MAX_LIST_BYTES)
    return content_of(head, file.headers.get("Content-Type", ""), file.url)


def _first_of(
    client: WebClient, found: list[str], url: str, name: str, reading: Reading, depth: int
) -> WebAudio:
    """Open the first entry of a list that can be opened.

    An entry on the list's own server uses the list's login.
    """
    if depth >= _MAX_DEPTH:
        raise DecodeError(f"{name}: is a list that names lists, {depth} deep; give a stream")
    failures: list[AirsiftError] = []
    for entry in found[:MAX_ENTRIES]:
        try:
            check_scheme(entry, "an entry")
            return _open(
                client, _with_login(client, entry, url), public_name(entry), reading, depth + 1
            )
        except (SourceError, DecodeError) as error:
            failures.append(error)
    which = (
        "its list's only entry fails"
        if len(failures) == 1
        else (f"all {len(failures)} entries of its list fail, the first one so")
    )
    raise _like(failures[0], f"{name}: {which}: {failures[0]}") from failures[0]


def _like(error: AirsiftError, message: str) -> AirsiftError:
    """Return an error of the same kind with another message."""
    if isinstance(error, WebError):
        return WebError(message, status=error.status, retry_after_s=error.retry_after_s)
    return type(error)(message)


def _with_login(client: WebClient, entry: str, url: str) -> str:
    """Return an entry with the login of its list, if it is on the same server and has none."""
    ours, its = urlsplit(url), urlsplit(entry)
    login, _, host = ours.netloc.rpartition("@")
    if not login or (ours.scheme, host) != (its.scheme, its.netloc):
        return entry
    return urlunsplit(its._replace(netloc=f"{login}@{its.netloc}"))


def _reader(file: WebFile, reading: Reading) -> AudioReader:
    file.deadline = time.monotonic() + _deadline_s(file)
    try:
        if file.sign is not Sign.FILE:
            file.seek(_frame_start(file))
        block_s = reading.live_s if file.live else reading.file_s
        source = cast("BinaryIO", file)
        reader = AudioReader(
            source,
            name=file.name,
            block_s=block_s,
            options=_OPTIONS,
            track=reading.track,
            keep_channels=reading.keep_channels,
        )
    except (DecodeError, SourceError) as error:
        if file.broken:
            raise WebError(
                f"{file.name}: no audio came ({file.broken}); check that it is a stream"
            ) from error
        if not file.peek(1):
            raise DecodeError(
                f"{file.name}: its answer ends before any audio; check that it is a stream"
            ) from error
        raise
    file.deadline = None
    return reader


def _frame_start(file: WebFile) -> int:
    """Return the position of the first whole frame."""
    head, start = file.peek(1), None
    while (start := frame_start(head)) is None:
        before, head = head, file.peek(len(head) + 1)
        if head == before:
            return frame_start(head, is_all=True) or 0
    return start


def _hls_reader(
    client: WebClient, url: str, login_from: str, name: str, reading: Reading
) -> AudioReader:
    """Let FFmpeg read HLS, with the proxy, the login and the authorities of the client."""
    options = {"user_agent": USER_AGENT, "reconnect": "1"}
    if trusted := authorities():  # FFmpeg contains none, and verifies nothing by default
        options |= {"tls_verify": "1", "ca_file": trusted}
    if client.guard is not None:
        options["http_proxy"] = client.guard.url
    login = client.login(login_from) if urlsplit(url).netloc == _host(login_from) else ""
    if login and "@" not in urlsplit(url).netloc:
        user, _, password = login.partition(":")
        parts = urlsplit(url)
        netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
        url = urlunsplit(parts._replace(netloc=netloc))
    try:
        return AudioReader(
            url,
            name=name,
            block_s=reading.live_s,
            options=options,
            timeout_s=client.settings.timeout_s,
            track=reading.track,
            keep_channels=reading.keep_channels,
        )
    except (SourceError, DecodeError) as error:
        client.check_guard(name, error)
        raise


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _deadline_s(file: WebFile) -> float:
    """Return the seconds in which audio has to begin."""
    return 3 * file.timeout_s + _OPENING_S
