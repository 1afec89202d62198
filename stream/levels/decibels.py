"""Power and amplitude in decibels, with a floor that JSON can hold."""

from __future__ import annotations

from math import log10

FLOOR_DB = -120.0  # anything less, silence included, is this
_FLOOR_POWER = 1e-12
LOUDNESS_DB = -0.691  # of K-weighted power 1, in LUFS


def of_power(power: float) -> float:
    """Return a mean square in dB relative to 1, at least `FLOOR_DB`; a full sine has -3.01."""
    return 10 * log10(power) if power > _FLOOR_POWER else FLOOR_DB


def of_amplitude(amplitude: float) -> float:
    """Return an amplitude in dB relative to full scale, at least `FLOOR_DB`."""
    return of_power(amplitude * amplitude)


def loudness(power: float) -> float:
    """Return a K-weighted mean square, added over the channels, in LUFS; at least `FLOOR_DB`."""
    return max(of_power(power) + LOUDNESS_DB, FLOOR_DB)
