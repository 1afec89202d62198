"""Messages that bring a part of a stream's first frame: a restart must read them again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stream.kafka.checkpoint.offsets import Offsets

_MAX_PLACES = 256  # more are invented names
_MAX_S = 10.0  # a frame that is not complete by then holds its partition back no longer

Place = tuple[int, str]  # partition and station


class FirstFrames:
    """Holds partitions at messages with the beginning of a first frame.

    Parameters
    ----------
    offsets : Offsets
        Where they are held.
    now : callable
        The clock, in seconds.
    """

    def __init__(self, offsets: Offsets, now: Callable[[], float] = time.monotonic) -> None:
        self._offsets = offsets
        self._now = now
        self._since: dict[Place, tuple[float, int]] = {}

    def add(self, place: Place, kafka_offset: int) -> None:
        """Note a message after which no frame of its stream is complete."""
        if place not in self._since and len(self._since) < _MAX_PLACES:
            self._since[place] = self._now(), kafka_offset
            self._offsets.hold(*place, kafka_offset)

    def kafka_offset(self, place: Place, default: int) -> int:
        """Return the first such message of a station; `default` if there is none."""
        return self._since[place][1] if place in self._since else default

    def done(self, place: Place) -> None:
        """Let a station's messages pass: its first frame is complete, or will never be."""
        if self._since.pop(place, None) is not None:
            self._offsets.let_pass(*place)

    def expire(self) -> None:
        """Let those pass that have waited for too long."""
        until = self._now() - _MAX_S
        for place in [place for place, (since, _) in self._since.items() if since <= until]:
            self.done(place)

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions."""
        for place in [place for place in self._since if place[0] in partitions]:
            self.done(place)
