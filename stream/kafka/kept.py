"""What is stored of each station, and when it is written anew or withdrawn."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from stream.kafka.saved import Saved

# A station that is silent keeps its old record; it is written anew before it gets so old that
# reading the state topic from there on would take long, and before its silence is lost count of.
_REFRESH_S = 600.0
_LOOK_S = 1.0
# Silence is time in which somebody listened: of a loop or a machine that stood still, of which
# others may have the stations by now, so much counts.
_LISTEN_S = 2.0

Place = tuple[int, str]  # partition and station


@dataclass(slots=True)
class _Entry:
    """A station's newest record; times are seconds listened."""

    saved: Saved
    heard: float
    written: float


class Kept:
    """The newest record of each station on our partitions.

    Parameters
    ----------
    forget_s : float > 0
        A station that was silent for so long, in this process and those before it, is to be
        forgotten.
    now : callable
        The clock, in seconds.
    """

    def __init__(self, forget_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._forget_s = forget_s
        self._now = now
        self._turned = now()
        self._listened = 0.0
        self._next_look = 0.0
        self._entries: dict[Place, _Entry] = {}

    def begin(self, partition: int, left: Iterable[Saved]) -> None:
        """Take over what the last owner of a partition has stored."""
        at = self._listened
        for saved in left:
            self._entries[partition, saved.station] = _Entry(saved, at - saved.silent_s, at)

    def drop(self, partitions: Collection[int]) -> None:
        """Leave partitions to others."""
        self._entries = {k: v for k, v in self._entries.items() if k[0] not in partitions}

    def listen(self) -> list[Place]:
        """Note that a turn of the loop has passed; return stations silent for too long.

        They are looked for about once a second.
        """
        turned, self._turned = self._turned, self._now()
        self._listened += min(self._turned - turned, _LISTEN_S)
        if self._listened < self._next_look:
            return []
        self._next_look = self._listened + _LOOK_S
        since = self._listened - self._forget_s
        return [place for place, entry in self._entries.items() if entry.heard <= since]

    def heard(self, partition: int, station: str) -> None:
        """Note that a station is not silent."""
        entry = self._entries.get((partition, station))
        if entry is not None:
            entry.heard = self._listened

    def store(self, partition: int, saved: Saved) -> None:
        """Note a record that is being written, of a station just heard."""
        at = self._listened
        self._entries[partition, saved.station] = _Entry(saved, at, at)

    def forget(self, place: Place) -> Saved:
        """Let go of a station, and return what was stored of it."""
        return self._entries.pop(place).saved

    def expire(self) -> None:
        """Have `refresh` return all records."""
        for entry in self._entries.values():
            entry.written = -math.inf

    def refresh(self) -> list[tuple[int, Saved]]:
        """Return the records of silent stations that are to be written anew."""
        out = []
        for (partition, _), entry in self._entries.items():
            if self._listened - entry.written > _REFRESH_S:
                entry.written = self._listened
                entry.saved = replace(entry.saved, silent_s=self._listened - entry.heard)
                out.append((partition, entry.saved))
        return out
