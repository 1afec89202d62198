"""The activity of stations: live or silent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from stream.audio import AudioChunk
from stream.sources.base import Lost, Resumed

if TYPE_CHECKING:
    from stream.sources.base import SourceItem

# Silence is measured in time the loop was running: a loop that waits for a slow sink receives
# nothing. Each iteration counts for at most this long.
MAX_ITERATION_S = 2.0

log = logging.getLogger(__name__)


class Activity:
    """The time of each station's last chunk. A change between live and silent is logged.

    Parameters
    ----------
    silent_s : float > 0
        A station is silent after this long without a chunk.
    forget_s : float > 0
        A station is no longer counted after this long without a chunk.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self, silent_s: float, forget_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._silent_s = silent_s
        self._forget_s = forget_s
        self._now = now
        self._batch_at = now()
        self._running_s = 0.0
        self._received_at: dict[str, float] = {}
        self._silent: set[str] = set()

    @property
    def live(self) -> int:
        """Number of live stations."""
        return len(self._received_at) - len(self._silent)

    @property
    def silent(self) -> int:
        """Number of silent stations that are still counted."""
        return len(self._silent)

    def ages_s(self, max_stations: int) -> list[tuple[str, float]]:
        """Return seconds since the last chunk of up to `max_stations` stations, sorted by name.

        Thread-safe: the copy is one operation of the interpreter.
        """
        now = self._running_s
        known = sorted(self._received_at.copy().items())[:max_stations]
        return [(station, now - at) for station, at in known]

    def silent_s(self, max_stations: int) -> list[tuple[str, float]]:
        """Return seconds since the last chunk of silent stations, those silent for longest first.

        Of more than `max_stations` the others are left out. Thread-safe, as `ages_s`.
        """
        now, known = self._running_s, self._received_at.copy()
        silent = [(now - known[each], each) for each in self._silent.copy() if each in known]
        return [(station, age) for age, station in sorted(silent, reverse=True)[:max_stations]]

    def are_live(self, stations: Iterable[str]) -> dict[str, bool]:
        """Return whether each of those stations that are known here is live. Thread-safe."""
        known, silent = self._received_at.copy(), self._silent.copy()
        return {each: each not in silent for each in stations if each in known}

    def on_batch(self, items: Sequence[SourceItem]) -> None:
        """Record the stations of a batch."""
        batch_at, self._batch_at = self._batch_at, self._now()
        self._running_s += min(self._batch_at - batch_at, MAX_ITERATION_S)
        now = self._running_s
        for item in items:
            station = item.station
            match item:
                case Lost():
                    self._forget(station)
                case Resumed():  # it counts, even if it went silent during the restart
                    self._received_at[station] = now
                case AudioChunk(ends="sent"):  # the sender ended it; an idle one may return
                    self._forget(station)
                case AudioChunk(ends=None):
                    self._received_at[station] = now
                    if station in self._silent:
                        self._silent.remove(station)
                        log.info("is live again", extra={"station": station})

    def sweep(self) -> None:
        """Mark stations as silent; call it about once a second."""
        now = self._running_s
        self._drop(s for s in self._silent if now - self._received_at[s] > self._forget_s)
        for station, at in self._received_at.items():
            if now - at > self._silent_s and station not in self._silent:
                self._silent.add(station)
                log.warning("silent for %.0f s", now - at, extra={"station": station})

    def _drop(self, stations: Iterable[str]) -> None:
        for station in list(stations):
            self._forget(station)
            log.warning("no longer counted as a station", extra={"station": station})

    def _forget(self, station: str) -> None:
        self._received_at.pop(station, None)
        self._silent.discard(station)
