"""What time it was at a station's sample."""

from __future__ import annotations

from collections.abc import Sequence

from stream.audio import AudioChunk, Cut


class Clock:
    """Keep the Unix time of each station's samples, as its source told it.

    A session's first chunk with a time sets the clock for the whole session: time then runs
    with the samples, whatever later chunks say.
    """

    def __init__(self) -> None:
        # Per station, (first sample in seconds, Unix time of sample 0) of the last two
        # sessions: events of the one before a gap may come out after the gap.
        self._zeros: dict[str, list[tuple[float, float]]] = {}
        self._running: set[str] = set()

    def push(self, items: Sequence[AudioChunk | Cut]) -> None:
        """Hear audio and cuts."""
        for item in items:
            if isinstance(item, Cut):
                self._running.discard(item.station)
            elif item.time is not None and item.station not in self._running:
                start_s = item.start / item.rate
                self.set(item.station, start_s, item.time - start_s)

    def set(self, station: str, start_s: float, zero: float) -> None:
        """Say that from `start_s` on, sample 0 was at Unix time `zero`."""
        self._running.add(station)
        known = self._zeros.setdefault(station, [])
        known.append((start_s, zero))
        del known[:-2]

    def zero(self, station: str) -> tuple[float, float] | None:
        """Return what `set` needs to go on with this station after a restart."""
        known = self._zeros.get(station)
        return known[-1] if known and station in self._running else None

    def time(self, station: str, sample: int, rate: int) -> float | None:
        """Return the Unix time of a sample, or None where the source knows no time."""
        at = sample / rate
        for start_s, zero in reversed(self._zeros.get(station, [])):
            # Grids and resampling may date an event a little before its first chunk.
            if at >= start_s - 1.0:
                return zero + at
        return None

    def forget(self, station: str) -> None:
        """Drop what is known of a station."""
        self._zeros.pop(station, None)
        self._running.discard(station)
