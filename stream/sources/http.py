"""Web radio and files over HTTP: a thread that reads, decodes and reconnects.

FFmpeg speaks the protocols (HTTP, HTTPS, Icecast and SHOUTcast, HLS) and takes up a file of
known length where it broke off. A stream without a length is live: whenever it ends, the
thread connects again, and what was sent in between is a gap as long as the wait.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from airsift import __version__
from airsift.errors import AirsiftError, DecodeError, SourceError
from stream.audio import AudioChunk
from stream.sources import Batch
from stream.sources.address import PublicOnly, check_scheme, public_name
from stream.sources.decode import AudioReader
from stream.sources.playlist import is_playlist, playlist_entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IDLE_S = 0.2  # an iterating caller never waits longer
FIRST_BACKOFF_S = 0.5
STEADY_S = 10.0  # a connection that lived this long was good: the next wait is short again
CLOSE_S = 1.5  # longest wait for the thread, which may be waiting for the network


class HttpSource:
    """A web radio until it is closed, or a file over HTTP to its end.

    Parameters
    ----------
    url : str
        Address of a stream, a file, an HLS playlist, or an .m3u or .pls list, of which the
        first entry is taken.
    station : str
        The station of the chunks.
    timeout_s : float > 0
        Seconds without any audio after which the connection counts as broken.
    max_backoff_s : float > 0
        Longest wait between two attempts to reconnect. Waits double from 0.5 s and are
        shortened at random, so that many listeners do not return all at once.
    block_s : float > 0
        Seconds in a chunk.
    queue_s : float > 0
        Seconds of audio that may wait to be taken; then the server has to wait.
    allow_private : bool
        Whether the address may lead to this machine and private networks, at once or by a
        redirection, a list or a playlist.
    track : str, optional
        Number, language or title of the audio track; the default one unless given.

    Attributes
    ----------
    name : str
        The address without login and query, as messages name it.
    warnings : list of str
        One line for each damage of a file of known length. Damage of a live stream is a gap.
    reconnects : int
        How often the connection was made anew.

    Raises
    ------
    SourceError
        The first attempt reached no server, or the server refused.
    DecodeError
        What came was no audio.
    """

    resumable = False

    def __init__(
        self,
        url: str,
        station: str,
        *,
        timeout_s: float = 10.0,
        max_backoff_s: float = 30.0,
        block_s: float = 0.5,
        queue_s: float = 30.0,
        allow_private: bool = True,
        track: str | None = None,
    ) -> None:
        self.name = public_name(url)
        check_scheme(url, self.name)
        self._url = url
        self.station = station
        self.warnings: list[str] = []
        self.reconnects = 0
        self._timeout_s = timeout_s
        self._max_backoff_s = max_backoff_s
        self._block_s = block_s
        self._track = track
        self._stopped = threading.Event()
        self._queue: Queue[AudioChunk | None] = Queue(max(round(queue_s / block_s), 2))
        self._failure: Exception | None = None
        self._guard = None if allow_private else PublicOnly()
        try:
            self._first = self._connect()
        except BaseException:
            self._close_guard()
            raise
        self._thread = threading.Thread(target=self._run, name=f"http {station}", daemon=True)

    def __iter__(self) -> Iterator[Batch]:
        self._thread.start()
        while not self._stopped.is_set():
            try:
                chunk = self._queue.get(timeout=IDLE_S)
            except Empty:
                yield Batch()
                continue
            if chunk is None:
                if self._failure is not None:
                    raise self._failure
                return
            yield Batch([chunk])

    @property
    def duration_s(self) -> float | None:
        """Seconds that a file of known length says it has, for progress bars; else None."""
        return self._first.duration_s if self._first.finite else None

    @property
    def queued(self) -> int:
        """Chunks that wait to be taken."""
        return self._queue.qsize()

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> None:
        """Do nothing: what was on the air is gone."""

    def close(self) -> None:
        """Stop listening. A thread that still waits for the network ends by itself later."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._thread.ident is None:
            self._first.close()
        else:
            self._thread.join(CLOSE_S)
        self._close_guard()

    def _connect(self) -> AudioReader:
        try:
            return self._follow()
        except AirsiftError as error:
            if self._guard is None or not self._guard.refused:
                raise
            refused, self._guard.refused = self._guard.refused, ""
            raise SourceError(
                f"{self.name}: leads to {refused}, which is no public address, and "
                "http.allow_private=false; set it to true if this is meant"
            ) from error

    def _follow(self) -> AudioReader:
        url, proxy = self._url, self._guard.url if self._guard else None
        if is_playlist(url):
            url = playlist_entry(url, self._timeout_s, proxy) or url
        try:
            return self._open(url)
        except DecodeError:
            entry = playlist_entry(url, self._timeout_s, proxy)  # a list by another name
            if entry is None:
                raise
            return self._open(entry)

    def _open(self, url: str) -> AudioReader:
        options = {"user_agent": f"airsift/{__version__}", "reconnect": "1"}
        if authorities := _authorities():  # FFmpeg brings none, and checks nothing unless told
            options |= {"tls_verify": "1", "ca_file": authorities}
        if self._guard is not None:
            options["http_proxy"] = self._guard.url
        block_s, timeout_s = self._block_s, self._timeout_s
        return AudioReader(
            url,
            name=self.name,
            block_s=block_s,
            options=options,
            timeout_s=timeout_s,
            track=self._track,
        )

    def _close_guard(self) -> None:
        if self._guard is not None:
            self._guard.close()

    def _run(self) -> None:
        try:
            self._read(self._first)
        except Exception as error:
            self._failure = error
        self._put(None)

    def _read(self, reader: AudioReader | None) -> None:
        """Queue audio until a file of known length is over, or the source is closed."""
        at_s, began = 0.0, time.time()  # position in the station, Unix time of sample 0
        backoff_s = FIRST_BACKOFF_S
        while reader is not None:
            connected = time.monotonic()
            at_s = self._listen(reader, at_s, began)
            reader.close()
            if reader.finite:
                self.warnings += reader.problems
                return
            if time.monotonic() - connected > STEADY_S:
                backoff_s = FIRST_BACKOFF_S
            silent_since = reader.heard_at
            reader, backoff_s = self._reconnect(backoff_s)
            at_s += time.monotonic() - silent_since
            self.reconnects += 1

    def _listen(self, reader: AudioReader, at_s: float, began: float) -> float:
        """Queue all that `reader` gives, from position `at_s` on; return where that ends."""
        zero, reason, end = round(at_s * reader.rate), "reconnect", 0
        for start, samples, lost in reader:
            time_s = began + (zero + start) / reader.rate
            reason = lost or reason
            chunk = AudioChunk(self.station, zero + start, samples, reader.rate, time_s, reason)
            end, reason = start + len(samples), "missing"
            if not self._put(chunk):
                break
        return (zero + end) / reader.rate

    def _reconnect(self, backoff_s: float) -> tuple[AudioReader | None, float]:
        """Try until it works; return None if the source is closed meanwhile."""
        while not self._stopped.wait(backoff_s * random.uniform(0.5, 1.0)):  # noqa: S311
            backoff_s = min(2 * backoff_s, self._max_backoff_s)
            try:
                return self._connect(), backoff_s
            except AirsiftError:  # it worked before, so it may work again
                continue
        return None, backoff_s

    def _put(self, chunk: AudioChunk | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(chunk, timeout=IDLE_S)
            except Full:
                continue
            return True
        return False


def _authorities() -> str | None:
    """Return the file of certificate authorities this machine trusts, if it has one."""
    known = ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"
    return next((path for path in known if path and Path(path).is_file()), None)
