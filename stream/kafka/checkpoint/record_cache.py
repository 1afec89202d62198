"""What is stored of each station, when it is idle, and when its record is withdrawn."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from stream.kafka.checkpoint.record import Saved

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
    """A station's newest record; times are seconds listened to its partition."""

    saved: Saved
    heard: float
    written: float


class Kept:
    """The newest record of each station on our partitions.

    A station that is silent for `idle_s` is at its end. Its record is written first, with the
    silence in it, and only then is it idle: so whoever has the record next ends it at the same
    place, also where its audio has come back meanwhile.

    Parameters
    ----------
    idle_s : float > 0
        A station that was silent for so long, in this process and those before it, is idle.
    forget_s : float > idle_s
        And after so long its record is to be withdrawn.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self, idle_s: float, forget_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle_s = idle_s
        self._forget_s = forget_s
        self._now = now
        self._turned = now()
        self._listened: dict[int, float] = {}  # seconds, of each partition
        self._next_look = 0.0
        self._entries: dict[Place, _Entry] = {}

    def begin(self, partition: int, left: Iterable[Saved]) -> None:
        """Take over what the last owner of a partition has stored."""
        at = self._listened.setdefault(partition, 0.0)
        for saved in left:
            self._entries[partition, saved.station] = _Entry(saved, at - saved.silent_s, at)

    def drop(self, partitions: Collection[int]) -> None:
        """Leave partitions to others."""
        self._entries = {k: v for k, v in self._entries.items() if k[0] not in partitions}
        self._listened = {p: at for p, at in self._listened.items() if p not in partitions}

    def listen(self, partitions: Collection[int]) -> None:
        """Note that a turn of the loop has passed.

        Time counts for `partitions` only: those that are read as fast as they are written, from a
        broker that answers. Of the others the audio may only be late.
        """
        turned, self._turned = self._turned, self._now()
        passed = min(self._turned - turned, _LISTEN_S)
        for partition in partitions:
            self._listened[partition] = self._listened.get(partition, 0.0) + passed

    def look(self) -> tuple[list[Place], list[Place]]:
        """Return the stations that are idle and not ended, and those to be forgotten.

        They are looked for about once a second.
        """
        if self._turned < self._next_look:
            return [], []
        self._next_look = self._turned + _LOOK_S
        idle = [p for p, e in self._entries.items() if not e.saved.count.over and self.is_idle(p)]
        old = [p for p, e in self._entries.items() if self._silent_s(p, e) >= self._forget_s]
        return idle, old

    def is_idle(self, place: Place) -> bool:
        """Say whether the record of a station says that it was silent for too long."""
        entry = self._entries.get(place)
        return entry is not None and entry.saved.silent_s >= self._idle_s

    def ends_before(self, place: Place, kafka_offset: int) -> bool:
        """Say whether a station was idle before a message of it came."""
        return self.is_idle(place) and kafka_offset >= self._entries[place].saved.read_to

    def listened_s(self, partition: int) -> float:
        """Return for how long we have listened to a partition."""
        return self._listened.get(partition, 0.0)

    def heard(self, place: Place, kafka_offset: int) -> None:
        """Note that a station is not silent: a message of it came that was not read before."""
        entry = self._entries.get(place)
        if entry is not None and kafka_offset >= entry.saved.read_to:
            entry.heard = self._listened.get(place[0], 0.0)
            if entry.saved.silent_s:
                entry.saved = replace(entry.saved, silent_s=0.0)

    def store(self, partition: int, saved: Saved) -> Saved:
        """Note a record that is to be written; return it with what is known of its silence."""
        place, at = (partition, saved.station), self._listened.get(partition, 0.0)
        before = self._entries.get(place)
        if before is None:
            self._entries[place] = _Entry(saved, at, at)
            return saved
        # What is read again is no news: a station that was idle still is.
        silent_s = at - before.heard if saved.count.over else before.saved.silent_s
        read_to = max(saved.read_to, before.saved.read_to)
        saved = replace(saved, silent_s=silent_s, read_to=read_to)
        self._entries[place] = _Entry(saved, before.heard, at)
        return saved

    def forget(self, place: Place) -> Saved:
        """Let go of a station, and return what was stored of it."""
        return self._entries.pop(place).saved

    def saved(self, place: Place) -> Saved:
        """Return what is stored of a station."""
        return self._entries[place].saved

    def is_before(self, place: Place, saved: Saved) -> bool:
        """Say whether there is a record of a station, and an older one than this."""
        entry = self._entries.get(place)
        return entry is not None and entry.saved.is_before(saved)

    def expire(self) -> None:
        """Have `refresh` return all records."""
        for entry in self._entries.values():
            entry.written = -math.inf

    def refresh(self) -> list[tuple[int, Saved]]:
        """Return the records of silent stations that are to be written anew."""
        out = []
        for place, entry in self._entries.items():
            silent_s = self._silent_s(place, entry)
            saved, at = entry.saved, self._listened.get(place[0], 0.0)
            # The silence of a station that is not ended is counted more closely.
            after_s = _REFRESH_S if saved.count.over else min(_REFRESH_S, self._idle_s / 5)
            becomes_idle = saved.silent_s < self._idle_s <= silent_s
            if (becomes_idle and not saved.count.over) or at - entry.written > after_s:
                entry.written = at
                entry.saved = replace(saved, silent_s=silent_s)
                out.append((place[0], entry.saved))
        return out

    def _silent_s(self, place: Place, entry: _Entry) -> float:
        return self._listened.get(place[0], 0.0) - entry.heard
