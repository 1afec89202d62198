"""What stations do to songs: played faster or slower, with or without the pitch moving."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fingerprint.settings import BINS_PER_OCTAVE


@dataclass(frozen=True, slots=True)
class Change:
    """How a query differs from the track it is from.

    Parameters
    ----------
    speed : float > 0
        Seconds of the track in a second of the query: 1.02 is played 2 % fast.
    shift : float
        Bins the query lies above the track.
    """

    speed: float = 1.0
    shift: float = 0.0

    @property
    def semitones(self) -> float:
        """Semitones the query lies above the track."""
        return self.shift * 12 / BINS_PER_OCTAVE


NONE = Change()


def resampled(speed: float) -> Change:
    """Return the change of a record played at another speed: its pitch moves with it."""
    return Change(speed, BINS_PER_OCTAVE * math.log2(speed))


def grid() -> list[Change]:
    """Return the changes worth looking for when nothing is found at the track's own speed.

    One per cent of speed apart: half of that moves the ends of a 10 s query by three frames,
    which votes bear. One bin apart in pitch. Both at once is not looked for, unless it is what
    resampling does.
    """
    speeds = [1 + percent / 100 for percent in range(-5, 6) if percent]
    shifts = [float(bins) for bins in range(-6, 7) if bins]
    return [
        *(resampled(speed) for speed in speeds),
        *(Change(speed=speed) for speed in speeds),
        *(Change(shift=shift) for shift in shifts),
    ]


def nearby(change: Change) -> list[Change]:
    """Return finer steps around a change of speed, of the same kind."""
    speeds = [change.speed + step / 1000 for step in (-5, -2.5, 0, 2.5, 5)]
    if change.speed == 1:
        return [Change(1.0, change.shift + step) for step in (-1 / 3, 0, 1 / 3)]
    if change.shift:
        return [resampled(speed) for speed in speeds]
    return [Change(speed) for speed in speeds]
