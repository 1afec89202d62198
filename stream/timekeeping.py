"""Shared by the clocks of stations: the monotonic clock, and the slew rate of offsets."""

from __future__ import annotations

import time

# Largest drift between the clock and the samples of a station, in seconds per second: crystals
# differ by less. Offsets are followed at this rate, so one wrong time has little effect; faster
# changes are lost audio or a clock that was set.
MAX_DRIFT = 500e-6


def slewed(known: float, target: float, length: float) -> float:
    """Return an offset, moved towards `target` over some length of audio.

    Parameters
    ----------
    known, target : float
        The offset so far and the one that was observed.
    length : float >= 0
        Audio since the last move, in the same unit.
    """
    limit = MAX_DRIFT * length
    return known + min(max(target - known, -limit), limit)


def boot_time() -> float:
    """Return seconds since the machine started, including time in suspend."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
