"""What a number of standard deviations is worth, as false matches in an hour of audio.

Wrong places are not Gaussian: music repeats itself, drones agree with drones. So the tail is
measured and not assumed: `bench/matching/__main__.py --calibrate` runs hours of audio that is not
in the catalogue, takes the strongest guess of every query, and fits an exponential to the largest.
"""

from __future__ import annotations

# z at which one false match in an hour is expected, and what makes it ten times rarer: for
# tracks as they are, and for changed ones, of which many more are tried.
_AS_IT_IS = (5.6, 0.75)
_CHANGED = (6.7, 1.1)
# Least score of a match: one false match in a hundred hours.
THRESHOLD = 2.0


def false_alarms(z: float, *, changed: bool) -> float:
    """Return minus the power of ten of the false matches expected in an hour.

    Parameters
    ----------
    z : float
        Standard deviations by which the pieces of a query together speak for a track.
    changed : bool
        Whether the track was looked for among many changes of speed and pitch, each of which
        may be wrong.
    """
    one_an_hour, per_decade = _CHANGED if changed else _AS_IT_IS
    return (z - one_an_hour) / per_decade
