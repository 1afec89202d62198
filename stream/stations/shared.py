"""Stations of one source that holds many, such as a broker's topic: read in a thread of their own.

A restart goes on with them where they were, so what the source commits must be processed. It is
asked for more only when the loop has processed what it gave; and now and then it *stands* until
the checkpoint of just that is there to be committed::

    thread   read ··········· read ·········· stand ······· commit ── read ···
    loop         └─ process ──┘  └─ process ───┘ checkpoint ─┘ other stations ─

The loop waits for none of it, so a broker that takes long holds up no other station.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError
from stream.audio import AudioChunk, end_of
from stream.sources.base import Lost, Resumed
from stream.sources.web_file import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream.snapshot import StoredSnapshot
    from stream.sources.base import SelectiveSource, SourceItem

log = logging.getLogger(__name__)

STEADY_S = 60.0  # after reading for this long, the next wait is short again
_LOOK_S = 0.2  # a stop is noticed as soon
_MAX_NAMES = 5  # of stations in a line of the log


class SharedReceiver:
    """The audio of stations of one source, from its own thread.

    The law: what has been committed, the loop has processed. An error of the source is the affair
    of its stations alone: it is logged, and the source is opened again, later and later; it then
    goes on where it last committed.

    Parameters
    ----------
    open_source : callable
        Opens it for stations with their keys; may wait.
    stations : mapping of str to str
        The first stations, each with its key.
    changed : threading.Condition
        Guards what all receivers of a list share with their reader, and is notified of news.
    checkpoint_s : float > 0
        Seconds between two commits.
    max_backoff_s : float > 0
        Longest wait before it is opened again.

    Attributes
    ----------
    done : bool
        Whether nothing more will come; guarded by `changed`.
    counts, refused : mapping of str to int
        The source's.
    reconnects : int
        Times that it was opened again.
    behind_s : float
        Seconds that the source is behind its newest audio.
    error : str
        Why it gives no audio at present; empty where it does.
    """

    def __init__(
        self,
        open_source: Callable[[Mapping[str, str]], SelectiveSource],
        stations: Mapping[str, str],
        changed: threading.Condition,
        checkpoint_s: float,
        max_backoff_s: float,
    ) -> None:
        self.done = False
        self.counts: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.reconnects = 0
        self.behind_s = 0.0
        self._error = ""
        self._open_source = open_source
        self._stations = dict(stations)  # replaced, never changed
        self._changed = changed
        # A little less, so that the loop's own checkpoint is the one that is waited for.
        self._checkpoint_s = 0.9 * checkpoint_s
        self._max_backoff_s = max_backoff_s
        self._stopped = threading.Event()
        self._waiting: list[SourceItem] = []
        self._is_processed = True  # all that was given
        self._rates: dict[str, int] = {}  # of the stations that have begun
        self._standing = False
        self._pending: dict[str, StoredSnapshot] = {}  # since the last commit
        self._handed: dict[str, StoredSnapshot] | None = None
        self._source: SelectiveSource | None = None
        self._earlier: dict[str, dict[str, int]] = {"counts": {}, "refused": {}}
        self._thread = threading.Thread(target=self._run, name="stations", daemon=True)
        self._thread.start()

    @property
    def stations(self) -> Mapping[str, str]:
        """The stations, each with its key."""
        return self._stations

    def select(self, stations: Mapping[str, str]) -> list[SourceItem]:
        """Receive these stations; return the last items of others. With `changed` held."""
        gone = {s for s, key in self._stations.items() if stations.get(s) != key}
        last = [item for item in self._waiting if item.station in gone]
        self._waiting = [item for item in self._waiting if item.station not in gone]
        for station in sorted(gone):
            self._pending.pop(station, None)
            if station in self._rates:
                last += [end_of(station, self._rates.pop(station)), Lost(station)]
        self._stations = dict(stations)
        self._changed.notify_all()
        return last

    def take(self) -> list[SourceItem]:
        """Return what has come; with `changed` held."""
        items, self._waiting = self._waiting, []
        return items

    def processed(self) -> None:
        """Note that the loop has processed all that was taken; with `changed` held."""
        if not (self._is_processed or self._waiting):
            self._is_processed = True
            self._changed.notify_all()

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        """Commit what the loop has processed, now or with a later checkpoint. Never waits."""
        with self._changed:
            # What was taken before a `Lost` or a `Resumed` that waits is of no use behind it.
            stale = {i.station for i in self._waiting if not isinstance(i, AudioChunk)}
            known = self._stations.keys() - stale
            self._pending |= {s: each for s, each in snapshots.items() if s in known}
            if self._standing and not self._waiting and self._handed is None:
                self._handed, self._pending = self._pending, {}
                self._changed.notify_all()

    @property
    def wants_checkpoint(self) -> bool:
        """Whether it stands, and the loop has taken everything; with `changed` held."""
        return self._standing and not self._waiting and self._handed is None

    @property
    def queued(self) -> int:
        """Chunks that wait; with `changed` held."""
        return sum(isinstance(item, AudioChunk) for item in self._waiting)

    @property
    def error(self) -> str:
        source = self._source
        return self._error or (source.broker_error if source is not None else "")

    def stop(self) -> None:
        """End it, without an end of its stations: another process goes on with them."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread. One that the network holds up ends by itself later."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        attempt, logged = 0, ""
        while self._stations and not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._receive()
                why = "its source ended"
            except AirsiftError as error:
                why = str(error)
            except Exception:  # of these stations alone; the others go on
                why = "an error of airsift, see above"
                log.exception("the source of %s failed", self._names())
            if self._stopped.is_set() or not self._stations:
                break
            self._let_go()
            if time.monotonic() - began > STEADY_S:
                attempt, logged = 0, ""
            if why != logged:
                log.warning("no audio of %s: %s; it is tried again", self._names(), why)
            self._error = logged = why
            self._stopped.wait(backoff_s(attempt, self._max_backoff_s))
            attempt += 1
            self.reconnects += 1
        self._error = ""
        with self._changed:
            self.done = True
            self._changed.notify_all()

    def _receive(self) -> None:
        """Open the source and read it, until it fails or this is stopped."""
        selected = self._stations
        source = self._open_source(selected)
        self._source = source
        try:
            due = time.monotonic() + self._checkpoint_s
            for items in source:
                if self._stopped.is_set():
                    return
                if items or not source.waits_for:
                    self._error = ""
                self._put(items)
                self._note(source)
                if self._stations is not selected:
                    selected = self._stations
                    source.select(selected)
                if not selected:  # nothing is needed any more of what was read
                    source.checkpoint({})
                    return
                if time.monotonic() >= due:
                    self._stand(source)
                    due = time.monotonic() + self._checkpoint_s
        finally:
            self._note(source)
            self._source = None
            self._earlier = {"counts": self.counts, "refused": self.refused}
            source.close()

    def _stand(self, source: SelectiveSource) -> None:
        """Wait until the loop has processed everything, and commit that."""
        with self._changed:
            self._standing = True
            self._changed.notify_all()
            while self._handed is None and not self._stopped.is_set():
                self._changed.wait(_LOOK_S)
            handed, self._handed, self._standing = self._handed, None, False
        if handed is not None:
            source.checkpoint(handed)

    def _put(self, items: Sequence[SourceItem]) -> None:
        """Give items to the loop, and wait until it has processed them."""
        with self._changed:
            self._append([item for item in items if item.station in self._stations])
            while not (self._is_processed or self._stopped.is_set()):
                self._changed.wait(_LOOK_S)

    def _append(self, items: Sequence[SourceItem]) -> None:
        for item in items:
            if isinstance(item, Lost):
                self._rates.pop(item.station, None)
            elif isinstance(item, Resumed):
                self._rates[item.station] = 1  # an end without samples has any rate
            elif not item.ends:
                self._rates[item.station] = item.rate
        self._waiting += items
        if items:
            self._is_processed = False
            self._changed.notify_all()

    def _let_go(self) -> None:
        """Forget where the stations were: they go on at the last commit, as after a restart."""
        with self._changed:
            self._append([Lost(station) for station in list(self._rates)])
            self._pending.clear()
            self._handed, self._standing = None, False

    def _names(self) -> str:
        """Return the stations for a line of the log."""
        names = sorted(self._stations)
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        return ", ".join(names[:_MAX_NAMES]) + more

    def _note(self, source: SelectiveSource) -> None:
        """Note what telemetry reads, in the only thread that may ask the source."""
        self.behind_s = source.behind_s
        for name in ("counts", "refused"):
            total = dict(self._earlier[name])
            for key, count in getattr(source, name).items():
                total[key] = total.get(key, 0) + count
            setattr(self, name, total)
