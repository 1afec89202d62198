"""What all clocks of stations share: one that never stops, and how fast offsets are followed."""

from __future__ import annotations

import time

# A station's clock gains or loses on its samples, because crystals differ by less than this, in
# seconds per second. So fast an offset is followed: one wrong time moves nothing that matters, and
# what changes faster is lost audio or a clock that was set.
MAX_DRIFT = 500e-6


def slewed(known: float, target: float, length: float) -> float:
    """Return an offset after it was moved towards `target` for some length of audio.

    Parameters
    ----------
    known, target : float
        The offset so far and the one that was observed.
    length : float >= 0
        Audio since it was moved last, in the same unit.
    """
    limit = MAX_DRIFT * length
    return known + min(max(target - known, -limit), limit)


def boot_time() -> float:
    """Return seconds since the machine started, with those in which it was suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
