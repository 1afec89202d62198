"""Web radio and files over HTTP: a thread that reads, decodes and reconnects.

A live stream is reconnected whenever it ends, and `LiveClock` positions the audio that follows. A
file is read to its end; its chunks have no time, because the time of its broadcast is unknown. The
headers distinguish the two (`stream.sources.web_file`); if they do not, the pace does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError
from stream.audio import AudioChunk
from stream.sources.base import Source
from stream.sources.live_clock import SETTLE_S, LiveClock
from stream.sources.settings import HttpSettings
from stream.sources.web_address import check_scheme, public_name
from stream.sources.web_audio import Reading, WebAudio, open_web_audio
from stream.sources.web_client import WebClient
from stream.sources.web_errors import WebError
from stream.sources.web_file import Sign, backoff_s
from stream.timekeeping import boot_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.sources.live_clock import PositionedAudio
    from stream.sources.web_file import WebFile

log = logging.getLogger(__name__)

IDLE_S = 0.2  # an iterating caller never waits longer
STEADY_S = 10.0  # after a connection of this length, the next wait is short again
CLOSE_S = 1.5  # longest wait for the thread, which may be blocked by the network
_FIRST_ATTEMPTS = 3  # at a server that requests a retry
_NO_AUDIO = 3  # times timeout_s, after which a stream of bytes without audio is broken
_HLS_LOSS_S = 20.0  # HLS segments have up to 10 s, and each may be a segment late


class HttpSource(Source):
    """A web radio until it is closed, or a file over HTTP to its end.

    Reading starts in the constructor.

    Parameters
    ----------
    url : str
        Address of a stream, a file, an HLS playlist, or a list (M3U, PLS, XSPF, ASX), whose first
        working entry is used.
    station : str
        The station of the chunks.
    settings : HttpSettings, optional
        Settings of the connection; by default the defaults.
    block_s, file_block_s : float > 0
        Seconds in a chunk of a live stream, and of a file.
    queue_s : float > 0
        Seconds of audio that are queued; beyond them, nothing is received.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.
    settle_s : float > 0
        Seconds of real-time audio after which the server's initial burst is over. The first audio
        of a connection is delayed by this time.
    keep_channels : bool
        Whether chunks keep up to 8 channels, which the pipeline mixes; else they are mono.
    titles : bool
        Whether a web radio is asked for titles, which its chunks then have.

    Attributes
    ----------
    name : str
        The address without login and query, for messages.
    live : bool
        Whether it is a live stream, as far as is known. Only its chunks have times.
    warnings : list of str
        One line for each damage of a file. Damage of a live stream is a gap.
    reconnects : int
        Number of reconnections.

    Raises
    ------
    SourceError
        The first attempt reached no server, or the server refused.
    DecodeError
        The content is not audio.
    """

    def __init__(
        self,
        url: str,
        station: str,
        settings: HttpSettings | None = None,
        *,
        block_s: float = 0.5,
        file_block_s: float = 0.5,
        queue_s: float = 30.0,
        track: str | None = None,
        settle_s: float = SETTLE_S,
        keep_channels: bool = False,
        titles: bool = False,
    ) -> None:
        self.name = public_name(url)
        check_scheme(url, self.name)
        self._url = url
        self.station = station
        self.warnings: list[str] = []
        self.reconnects = 0
        self._settings = settings or HttpSettings.default()
        self._block_s = block_s
        self._track = track
        self._keep_channels = keep_channels
        self._file_block_s = file_block_s
        self._queue_s = queue_s
        self._stopped = threading.Event()
        self._changed = threading.Condition()  # guards the attributes below
        self._chunks: deque[AudioChunk] = deque()  # of a file
        self._clock: LiveClock | None = None  # of a live stream
        self._end = 0  # of a file: sample after its last
        self._done = False
        self._failure: Exception | None = None
        self._client = WebClient(url, self._settings, titles=titles)
        try:
            self._audio = self._connect_first()
        except BaseException:
            self._client.close()
            raise
        file = self._audio.file
        if self._audio.live or (file is not None and file.sign is Sign.ONLY_LENGTH):
            self._clock = LiveClock(
                loss_s=1.0 if file is not None else _HLS_LOSS_S,
                settle_s=settle_s,
                may_be_file=file is not None and file.sign is not Sign.LIVE,
            )
        self._thread = threading.Thread(target=self._run, name=f"http {station}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        while not self._stopped.is_set():
            with self._changed:
                chunks = self._take()
                if not chunks and not self._done:
                    self._changed.wait(IDLE_S)
                    chunks = self._take()
                over = self._done and not chunks and not self._waiting_s()
            if over:
                if self._failure is not None:
                    raise self._failure
                return
            yield chunks

    @property
    def live(self) -> bool:
        """Whether it is a live stream, as far as is known."""
        return self._clock is not None

    @property
    def duration_s(self) -> float | None:
        """Stated duration of a file of known length, for progress bars; else None."""
        return None if self.live else self._audio.reader.duration_s

    @property
    def queued(self) -> int:
        """Chunks in the queue."""
        with self._changed:
            return round(self._waiting_s() / self._block_s)

    def close(self) -> None:
        """Stop reading. A thread that is blocked by the network ends by itself later."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if (file := self._audio.file) is not None:
            file.close()
        self._thread.join(CLOSE_S)
        self._client.close()

    def _connect_first(self) -> WebAudio:
        """Connect for the first time, when the address is not known to be right."""
        for attempt in range(1, _FIRST_ATTEMPTS + 1):
            try:
                return self._connect(None)
            except WebError as error:
                requested_s = error.retry_after_s
                if requested_s is None or requested_s > self._settings.max_backoff_s:
                    raise
                if attempt == _FIRST_ATTEMPTS:
                    raise
                log.warning("%s", error, extra={"station": self.station})
                self._stopped.wait(backoff_s(0, self._settings.max_backoff_s, requested_s))
        raise AssertionError

    def _connect(self, first: str | None) -> WebAudio:
        reading = Reading(self._block_s, self._file_block_s, self._track, self._keep_channels)
        return open_web_audio(self._client, self._url, reading, first=first)

    def _run(self) -> None:
        try:
            self._receive(self._audio)
        except Exception as error:
            self._failure = error
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _receive(self, audio: WebAudio | None) -> None:
        """Read until a file is over, or the source is closed."""
        attempt = 0
        while audio is not None:
            connected = time.monotonic()
            self._listen(audio)
            steady = time.monotonic() - connected > STEADY_S
            is_over = self._stopped.is_set() or self._is_over(audio, steady=steady)
            audio.close()
            if is_over:
                return
            attempt = 0 if steady else attempt
            audio, attempt = self._reconnect(audio, attempt)

    def _listen(self, audio: WebAudio) -> None:
        """Read all audio of one connection."""
        clock, file, begin, end = self._clock, audio.file, 0, 0
        if clock is not None:
            clock.connect()
        for start, samples, lost in audio.reader:
            begin = start if not end else begin
            skip = start - end if end else 0
            end = start + len(samples)
            with self._changed:
                if self._clock is None:
                    chunk = AudioChunk(
                        self.station, start, samples, audio.reader.rate,
                        gap_reason=lost or "missing",
                    )  # fmt: skip
                    self._end = chunk.end
                    self._chunks.append(chunk)
                else:
                    reason = lost or "missing"
                    rate = audio.reader.rate
                    self._clock.push(samples, rate, boot_time(), skip=skip, reason=reason)
                    if self._clock.is_file:
                        self._make_file(begin)
                    self._end = end
                self._changed.notify_all()
                while self._waiting_s() > self._queue_s and not self._stopped.is_set():
                    self._changed.wait(IDLE_S)
            if self._stopped.is_set():
                return
            if file is not None and audio.live:
                file.deadline = time.monotonic() + _NO_AUDIO * self._settings.timeout_s

    def _is_over(self, audio: WebAudio, *, steady: bool) -> bool:
        """Return whether the end of a connection is the end of a file; note missing audio."""
        file = audio.file
        with self._changed:
            if self._clock is not None:
                undecided = file is not None and file.sign is Sign.ONLY_LENGTH and not file.live
                if not undecided:
                    self._clock.finish()
                    return False
                if not self._clock.started:
                    self._make_file()  # it arrived at once
                elif steady or not (file and file.broken):  # it arrived in real time
                    self._clock.finish()
                    return False
                else:
                    self._clock.finish()
        problems = audio.reader.problems
        if file is not None and file.broken:
            # The reader knows only that it ended, not why.
            problems = problems[:-1] if audio.reader.error is not None else problems[:]
            problems.append(
                f"{self.name}: ends early at {self._end / audio.reader.rate:.2f} s "
                f"({file.broken}); all before that is used"
            )
        self.warnings += problems
        return True

    def _make_file(self, begin: int = 0) -> None:
        """Continue as a file, whose audio begins at `begin`; queued audio loses its time."""
        assert self._clock is not None
        clock, self._clock = self._clock, None
        for placed in clock.give_up():
            moved = placed._replace(start=placed.start + begin)
            self._chunks.append(self._chunk(moved, None))
            self._end = self._chunks[-1].end

    def _reconnect(self, before: WebAudio, attempt: int) -> tuple[WebAudio | None, int]:
        """Retry until connected; return None if the source is closed meanwhile, or is a file."""
        place = {"station": self.station}
        why = before.file.broken if before.file is not None else ""
        log.info("the stream ended (%s); connecting again", why or "without an error", extra=place)
        requested_s: float | None = None
        while not self._stopped.wait(backoff_s(attempt, self._settings.max_backoff_s, requested_s)):
            attempt += 1
            try:
                audio = self._connect(before.url)
            except AirsiftError as error:  # it worked before, so it may work again
                log.warning("not connected again: %s", error, extra=place)
                requested_s = getattr(error, "retry_after_s", None)
                continue
            self._audio = audio
            if self._stopped.is_set() or self._is_file_again(before.file, audio.file):
                audio.close()
                return None, attempt
            self.reconnects += 1
            return audio, attempt
        return None, attempt

    def _is_file_again(self, before: WebFile | None, file: WebFile | None) -> bool:
        """Return whether an answer with only a length is a file: live streams send new bytes."""
        if before is None or file is None or before.sign is not Sign.ONLY_LENGTH or before.live:
            return False
        return before.is_same_file(file)

    def _waiting_s(self) -> float:
        clock = self._clock
        if clock is not None:
            return clock.ready_s
        return sum(len(chunk.samples) / chunk.rate for chunk in self._chunks)

    def _take(self) -> list[AudioChunk]:
        """Return the chunks whose time has come."""
        if self._clock is None:
            chunks = list(self._chunks)
            self._chunks.clear()
        else:
            now = boot_time()
            unix = time.time() - now
            chunks = [self._chunk(placed, unix + placed.time) for placed in self._clock.take(now)]
        if chunks:
            self._changed.notify_all()
        return chunks

    def _chunk(self, placed: PositionedAudio, at: float | None) -> AudioChunk:
        file = self._audio.file
        return AudioChunk(
            self.station,
            placed.start,
            placed.samples,
            placed.rate,
            at,
            placed.reason,
            title=file.title if file is not None else None,
        )
