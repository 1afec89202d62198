"""A reader of the wall, as the page is one (airsift/web/static/store.js)."""

from __future__ import annotations

from typing import Any

from airsift.web.hub import Hub

KEYS = {
    "spans": lambda span: (span[0], span[2] == "gap"),
    "songs": lambda song: (song["start_ms"], song["track"]),
    "alarms": lambda alarm: alarm["id"],
    "trace": lambda point: point[0] // 1000,
}


class Reader:
    """Applies messages, and forgets what is too much."""

    def __init__(self) -> None:
        self.revision = -1
        self.stations: dict[str, dict[str, Any]] = {}

    @classmethod
    def of(cls, hub: Hub) -> Reader:
        """Return a reader that has just come."""
        reader = cls()
        reader.apply(hub.changes())
        return reader

    def apply(self, message: dict[str, Any]) -> None:
        if message["since"] == -1:
            self.stations = {}
        for told in message["stations"]:
            station = self.stations.pop(told["name"], None)
            if station is None or told.get("reset"):
                station = {lane: {} for lane in KEYS}
            self.stations[told["name"]] = station
            for lane, key in KEYS.items():
                for value in told.get(lane, ()):
                    station[lane].pop(key(value), None)
                    station[lane][key(value)] = value
                keep(station[lane], message["limits"][lane])
            station |= {name: told[name] for name in ("head_ms", "seen_s", "dated", "now")}
        keep(self.stations, message["limits"]["stations"])
        self.revision = message["revision"]

    def state(self) -> list[Any]:
        """Return all that is shown, with the order in which it changed."""
        return [
            (name, {key: list(v.values()) if key in KEYS else v for key, v in station.items()})
            for name, station in self.stations.items()
        ]


def keep(values: dict[Any, Any], most: int) -> None:
    while len(values) > most:
        del values[next(iter(values))]
