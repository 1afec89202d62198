"""The activity of stations: live or silent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.sources.base import Batch

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

    def on_batch(self, batch: Batch) -> None:
        """Record the stations of a batch."""
        batch_at, self._batch_at = self._batch_at, self._now()
        self._running_s += min(self._batch_at - batch_at, MAX_ITERATION_S)
        now = self._running_s
        for station in batch.lost:
            self._forget(station)
        # A restored station counts, even if it went silent during the restart.
        for station in batch.resumed:
            self._received_at[station] = now
        for chunk in batch.chunks:
            if chunk.ends == "sent":  # the sender ended it; an idle one may return
                self._forget(chunk.station)
            if chunk.ends:
                continue
            self._received_at[chunk.station] = now
            if chunk.station in self._silent:
                self._silent.remove(chunk.station)
                log.info("is live again", extra={"station": chunk.station})

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
