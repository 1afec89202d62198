"""The events of all stations, for any number of readers: a pure type, without threads or clocks.

::

    put ──> views   what each station does now, and did in its last minutes ──> changes(since)
        └─> log     the last events as they came                            ──> log.since(position)

A reader is a number: the revision, or the position, up to which it has been told. So it costs
nothing, it may go away without a word, and one that is slow skips what it missed and delays nobody.

The laws (`tests/airsift/web/test_hub.py`): a reader that asks at any moments has, after each, what
the hub has; reading changes nothing; the memory is bounded by the numbers given here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from airsift.web.reading import read_event
from airsift.web.views import LANES, StationView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airsift.json_types import JsonObject

MAX_STATIONS = 2000
MAX_LOG = 5000


class EventLog:
    """The last events, each with its position: 0, 1, 2 and so on.

    Parameters
    ----------
    size : int > 0
        Maximum number of events.

    Attributes
    ----------
    end : int
        Position of the next event.
    """

    def __init__(self, size: int = MAX_LOG) -> None:
        self._ring: list[JsonObject] = []
        self._size = size
        self.end = 0

    def append(self, event: JsonObject) -> None:
        """Add an event; the oldest makes room for it."""
        if len(self._ring) < self._size:
            self._ring.append(event)
        else:
            self._ring[self.end % self._size] = event
        self.end += 1

    @property
    def begin(self) -> int:
        """Position of the oldest event that is left."""
        return self.end - len(self._ring)

    def since(self, position: int, limit: int = MAX_LOG) -> tuple[list[JsonObject], int, int]:
        """Return events from a position on, the position to go on from, and how many are lost.

        A position that never was, as one of another process, is that of the oldest event.
        """
        at = position if 0 <= position <= self.end else self.begin
        first = max(at, self.begin)
        last = min(first + limit, self.end)
        return [self._ring[n % self._size] for n in range(first, last)], last, first - at


class Hub:
    """The state of all stations.

    Parameters
    ----------
    max_stations : int > 0
        Of more, the one without news for longest is dropped.
    max_log : int > 0
        Events in the log.

    Attributes
    ----------
    revision : int
        Grows with every `put` that brings news.
    log : EventLog
        The last events.
    refused : int
        What was put and is no event.
    """

    def __init__(self, *, max_stations: int = MAX_STATIONS, max_log: int = MAX_LOG) -> None:
        self._views: OrderedDict[str, StationView] = OrderedDict()
        self._max_stations = max_stations
        self.revision = 0
        self.log = EventLog(max_log)
        self.refused = 0

    def put(self, events: Iterable[JsonObject], now_s: float) -> None:
        """Take events in order, at a monotonic time in seconds."""
        revision = self.revision + 1
        for event in events:
            try:
                seen = read_event(event)
            except (ValueError, TypeError, OverflowError, AttributeError):
                self.refused += 1
                continue
            self.log.append(event)
            view = self._views.get(seen.station) or StationView(seen.station, revision)
            if view.apply(seen, revision, now_s):
                self._views[seen.station] = view
                self._views.move_to_end(seen.station)
                self.revision = revision
        while len(self._views) > self._max_stations:
            self._views.popitem(last=False)

    @property
    def stations(self) -> Mapping[str, StationView]:
        """The views by name; who had news last comes last."""
        return self._views

    def changes(self, since: int = -1) -> JsonObject:
        """Return what a reader needs that has everything up to a revision; with -1, all there is.

        Stations come in the order of their last news. A reader keeps as many of them, and of the
        values of each lane, as ``limits`` says, those that changed last.
        """
        changed = []
        for view in reversed(self._views.values()):
            if view.revision <= since:
                break
            changed.append(view.changes(since))
        limits: JsonObject = {name: shown for name, (_, shown) in LANES.items()}
        return {
            "since": since,
            "revision": self.revision,
            "limits": limits | {"stations": self._max_stations},
            "stations": changed[::-1],
        }
