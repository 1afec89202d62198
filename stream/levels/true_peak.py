"""The true peak: the greatest value between the samples too, as ITU-R BS.1770 asks.

Audio is interpolated at three moments between two samples, at rates from 96 kHz on at one, from
192 kHz on at none. The interpolator is a sinc of 16 samples in Kaiser's window; it is flat within
0.05 dB up to 0.4 of the rate. Of a sine, peaks between the moments exceed the result by up to
0.17 dB at a quarter of the rate, and 0.07 dB at a sixth.

Most audio cannot hold the peak: a value between samples is at most `BOUND` times the greatest
sample near it. So only stretches with a sample above the peak so far by `BOUND` are interpolated,
and the result is the same as if all were.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRETCH = 8  # samples that are looked at together; eight booleans are one integer
HALF = 8  # samples on either side that an interpolated value depends on
REACH = STRETCH + HALF - 1  # samples before the first that is interpolated behind
_BETA = 5.0
_ALL_AT_ONCE = 4096  # stretches whose windows fit the cache


def oversampling(rate: int) -> int:
    """Return how many values are looked at for each sample.

    Parameters
    ----------
    rate : int > 0
        Samples per second.
    """
    return 4 if rate < 96_000 else 2 if rate < 192_000 else 1


@lru_cache(maxsize=4)
def _weights(factor: int) -> tuple[NDArray[np.float32], float]:
    """Return the weights of the windows of a stretch, and the bound.

    The window is of the samples from `HALF` - 1 before the stretch to `HALF` behind it.
    """
    at = np.arange(STRETCH)[:, None] + np.arange(1, factor) / factor
    distance = at.reshape(-1) - np.arange(1 - HALF, STRETCH + HALF)[:, None]
    inside = np.clip(1 - (distance / HALF) ** 2, 0, None)
    weights = np.sinc(distance) * np.i0(_BETA * np.sqrt(inside)) * (inside > 0)
    weights /= weights.sum(axis=0)
    return weights.astype(np.float32), float(np.abs(weights).sum(axis=0).max())


def true_peak(
    samples: NDArray[np.float32],
    magnitudes: NDArray[np.float32],
    begin: int,
    factor: int,
    peak: float,
) -> float:
    """Return the greatest magnitude between samples, or `peak` where that is greater.

    Parameters
    ----------
    samples : np.ndarray [shape=(channels, n), float32]
        Finite, each channel in one piece; `n` is a multiple of `STRETCH`.
    magnitudes : np.ndarray [shape=(channels, n), float32]
        Their absolute values, in one piece.
    begin : int >= REACH + STRETCH
        Where to begin. Values behind the last `HALF` samples depend on samples to come; those
        behind the `REACH` samples before `begin` are looked at instead.
    factor : int, 1, 2 or 4
        See `oversampling`.
    peak : float >= 0
        Of these samples, or greater.
    """
    if factor == 1:
        return peak
    weights, bound = _weights(factor)
    loud = (magnitudes > peak / bound).view(np.uint64) != 0
    near = loud[:, :-1] | loud[:, 1:]
    near[:, 1:] |= loud[:, :-2]
    first = (begin - REACH) // STRETCH
    near[:, :first] = False  # the last stretch has no samples behind it yet
    channel, stretch = np.divmod(np.flatnonzero(near), near.shape[1])  # `nonzero` is slower
    channels, n = samples.shape
    windows = np.ndarray(
        (channels, n // STRETCH - 1 - first, len(weights)),
        np.float32,
        samples,
        offset=4 * (first * STRETCH - HALF + 1),
        strides=(4 * n, 4 * STRETCH, 4),
    )
    for at in range(0, len(stretch), _ALL_AT_ONCE):
        some = slice(at, at + _ALL_AT_ONCE)
        between = windows[channel[some], stretch[some] - first] @ weights
        peak = max(peak, float(between.max()), -float(between.min()))
    return peak
