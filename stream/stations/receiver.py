"""One station of many: a thread opens its source, reads it, and opens it again after errors."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError
from stream.audio import AudioChunk, end_of, moved
from stream.sources.base import Lost, audio_of
from stream.sources.web_file import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.sources.base import Source, SourceItem
    from stream.stations.entry import StationEntry

log = logging.getLogger(__name__)

LIVE_QUEUE_S = 30.0  # of live audio that waits for the pipeline; then its source queues it
FILE_QUEUE_S = 5.0  # of a file's, which is read no faster than it is processed
STEADY_S = 60.0  # after audio for this long, the next wait is short again
_LOOK_S = 0.2  # a stopped station is noticed as soon


class Receiver:
    """The audio of one station, from its own thread.

    Whatever happens to its source is its own affair: an error is logged with the station's name,
    and the source is opened again, later and later. A file is read once.

    Sample 0 of live audio lies at 1970, as for stations on Kafka, so that no two runs give two
    events one id.

    Parameters
    ----------
    entry : StationEntry
        The station.
    open_source : callable
        Opens the source of an entry; may wait.
    changed : threading.Condition
        Guards what all receivers of a list share with their reader, and is notified of news.
    max_backoff_s : float > 0
        Longest wait before it is opened again.
    after : Receiver, optional
        One of the same name, whose thread ends first.

    Attributes
    ----------
    done : bool
        Whether nothing more will come; guarded by `changed`.
    reconnects : int
        Times that the station was connected anew.
    overflows : int
        Times that its device's audio was lost.
    warnings : list of str
        What was wrong with the audio of a file.
    error : str
        Why it gives no audio at present; empty where it does.
    """

    def __init__(
        self,
        entry: StationEntry,
        open_source: Callable[[StationEntry], Source],
        changed: threading.Condition,
        max_backoff_s: float,
        after: Receiver | None = None,
    ) -> None:
        self.entry = entry
        self.done = False
        self.warnings: list[str] = []
        self.error = ""
        self._open_source = open_source
        self._changed = changed
        self._max_backoff_s = max_backoff_s
        self._after = after
        self._stopped = threading.Event()
        self._waiting: deque[tuple[float, SourceItem]] = deque()
        self._waiting_s = 0.0
        self._shift: tuple[int, int] | None = None  # samples to add, at a rate
        self._rate = 0  # of the audio so far; 0: there is none
        self._live = True  # whether the audio so far is
        self._opened = 0
        self._reconnects = self._overflows = 0  # of the sources before the present one
        self._source: Source | None = None
        self._thread = threading.Thread(target=self._run, name=f"station {entry.name}", daemon=True)
        self._thread.start()

    def take(self) -> list[SourceItem]:
        """Return what has come; with `changed` held."""
        items = [item for _, item in self._waiting]
        self._waiting.clear()
        self._waiting_s = 0.0
        return items

    def waited_s(self, now: float) -> float:
        """Return how long the oldest live audio has waited; with `changed` held."""
        for since, item in self._waiting:
            if isinstance(item, AudioChunk) and item.time is not None:
                return now - since
        return 0.0

    @property
    def queued(self) -> int:
        """Chunks that wait; with `changed` held."""
        return len(self._waiting) + (self._source.queued if self._source is not None else 0)

    @property
    def reconnects(self) -> int:
        source = self._source
        again = max(self._opened - 1, 0)
        return self._reconnects + again + (source.reconnects if source is not None else 0)

    @property
    def overflows(self) -> int:
        source = self._source
        return self._overflows + (source.overflows if source is not None else 0)

    def stop(self) -> None:
        """End the station; what waits can still be taken."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread. One that the network holds up ends by itself later."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        if self._after is not None:
            self._after.join(threading.TIMEOUT_MAX)
            self._after = None
        attempt = 0
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                if self._receive():
                    break
                why = "the stream ended"
            except AirsiftError as error:
                why = str(error)
            except Exception:  # of this station alone; the others go on
                why = "an error of airsift, see above"
                log.exception("its source failed", extra={"station": self.entry.name})
            self._end()
            attempt = 0 if time.monotonic() - began > STEADY_S else attempt
            self._report(why)
            wait_s = backoff_s(attempt, self._max_backoff_s)
            attempt += 1
            if self._stopped.wait(wait_s):
                break
        self._end()
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def _receive(self) -> bool:
        """Read the source once; return whether that was all: a file is over, or it is stopped."""
        source = self._open_source(self.entry)
        self._source = source
        self._opened += 1
        try:
            for items in source:
                for chunk in audio_of(items):
                    self._put(self._placed(chunk))
                if self._stopped.is_set():
                    return True
        finally:
            with self._changed:
                self._reconnects += source.reconnects
                self._overflows += source.overflows
                self._source = None
            self.warnings += source.warnings
            source.close()
        return not self._live and self._rate > 0

    def _placed(self, chunk: AudioChunk) -> AudioChunk:
        """Return live audio counted from 1970; a file counts from its begin."""
        if chunk.time is None:
            return chunk
        if self._shift is None:
            self._shift = round(chunk.time * chunk.rate) - chunk.start, chunk.rate
        return moved(chunk, *self._shift)

    def _put(self, chunk: AudioChunk) -> None:
        limit_s = FILE_QUEUE_S if chunk.time is None else LIVE_QUEUE_S
        with self._changed:
            while self._waiting_s > limit_s and not self._stopped.is_set():
                self._changed.wait(_LOOK_S)
            self._rate, self._live = chunk.rate, chunk.time is not None
            self.error = ""
            self._append(chunk)
            self._waiting_s += len(chunk.samples) / chunk.rate

    def _end(self) -> None:
        """End the stream, if there was one."""
        with self._changed:
            if not self._rate:
                return
            self._append(end_of(self.entry.name, self._rate))
            if not self._live or self._stopped.is_set():
                # A file that is read again counts from 0 again, and a station that is gone is not
                # silent. A live one goes on where its clock says.
                self._append(Lost(self.entry.name))
            self._rate, self._shift = 0, None

    def _append(self, item: SourceItem) -> None:
        self._waiting.append((time.monotonic(), item))
        self._changed.notify_all()

    def _report(self, why: str) -> None:
        """Log an error, once as long as it stays the same."""
        if why != self.error and not self._stopped.is_set():
            log.warning("no audio: %s; it is tried again", why, extra={"station": self.entry.name})
        self.error = why
