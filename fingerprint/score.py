"""What a number of standard deviations is worth, as false matches in an hour of audio.

Wrong places are not Gaussian: music repeats itself, drones agree with drones. So the tail is
measured and not assumed: `bench/fingerprint.py --calibrate` runs hours of audio that is not in
the catalogue, takes the strongest guess of every query, and fits an exponential to the largest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Expected false matches in an hour: 10 ** ((_ONE_AN_HOUR - z) / _PER_DECADE).
_ONE_AN_HOUR = 6.3
_ONE_AN_HOUR_CHANGED = 7.0
_PER_DECADE = 1.2
# Least score of a match: one false match in a hundred hours.
THRESHOLD = 2.0


def false_alarms(z: Sequence[float], *, changed: bool) -> float:
    """Return minus the power of ten of the false matches expected in an hour.

    Parameters
    ----------
    z : sequence of float
        Standard deviations by which consecutive pieces of a query speak for a track.
    changed : bool
        Whether the track was looked for among many changes of speed and pitch, each of which
        may be wrong.
    """
    together = sum(z) / math.sqrt(len(z))
    return (together - (_ONE_AN_HOUR_CHANGED if changed else _ONE_AN_HOUR)) / _PER_DECADE
