"""Which stations are heard, and which have fallen silent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from stream.audio import AudioChunk
from stream.sources.base import Lost, Resumed

if TYPE_CHECKING:
    from stream.sources.base import SourceItem

# Time passes for stations while we listen. A loop that is held up by a slow sink hears nobody,
# and turns again before long: of each turn at most so many seconds count.
LISTEN_S = 2.0

log = logging.getLogger(__name__)


class Stations:
    """When each station was last heard. A change between live and silent is logged.

    Parameters
    ----------
    silent_s : float > 0
        A station is silent when no chunk of it has come for so long.
    forget_s : float > 0
        A station silent for so long is no longer counted: it has gone off the air for good.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self, silent_s: float, forget_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._silent_s = silent_s
        self._forget_s = forget_s
        self._now = now
        self._turned_at = now()
        self._listened_s = 0.0
        self._heard_at: dict[str, float] = {}
        self._silent: set[str] = set()

    @property
    def live(self) -> int:
        """How many are heard."""
        return len(self._heard_at) - len(self._silent)

    @property
    def silent(self) -> int:
        """How many have fallen silent and may come back."""
        return len(self._silent)

    def ages_s(self, most: int) -> list[tuple[str, float]]:
        """Return seconds since the last chunk of at most `most` stations, in order of name.

        Safe in another thread than `turn`: the copy is one operation of the interpreter.
        """
        now = self._listened_s
        known = sorted(self._heard_at.copy().items())[:most]
        return [(station, now - at) for station, at in known]

    def on_batch(self, items: Sequence[SourceItem]) -> None:
        """Take note of what came in a turn of the loop."""
        turned_at, self._turned_at = self._turned_at, self._now()
        self._listened_s += min(self._turned_at - turned_at, LISTEN_S)
        now = self._listened_s
        for item in items:
            station = item.station
            match item:
                case Lost():
                    self._forget(station)
                case Resumed():
                    # One that goes silent while its worker restarts must not stay unknown to it.
                    self._heard_at[station] = now
                case AudioChunk(ends="sent"):  # it is not missed; one that is idle may be
                    self._forget(station)
                case AudioChunk(ends=None):
                    self._heard_at[station] = now
                    if station in self._silent:
                        self._silent.remove(station)
                        log.info("is heard again", extra={"station": station})

    def sweep(self) -> None:
        """Look for stations that have fallen silent; worth calling about once a second."""
        now = self._listened_s
        self._drop(s for s in self._silent if now - self._heard_at[s] > self._forget_s)
        for station, at in self._heard_at.items():
            if now - at > self._silent_s and station not in self._silent:
                self._silent.add(station)
                log.warning("silent for %.0f s", now - at, extra={"station": station})

    def _drop(self, stations: Iterable[str]) -> None:
        for station in list(stations):
            self._forget(station)
            log.warning("no longer counted as a station", extra={"station": station})

    def _forget(self, station: str) -> None:
        self._heard_at.pop(station, None)
        self._silent.discard(station)
