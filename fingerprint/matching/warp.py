"""Warps: how broadcasters change songs, in tempo, in pitch, or in both as a record player does."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fingerprint.settings import BINS_PER_OCTAVE


@dataclass(frozen=True, slots=True)
class Warp:
    """How a query differs from its track.

    Parameters
    ----------
    time_ratio : float > 0
        Seconds of the track per second of the query: 1.02 is played 2 % fast.
    pitch_bins : float
        Bins by which the query lies above the track.
    """

    time_ratio: float = 1.0
    pitch_bins: float = 0.0

    @property
    def semitones(self) -> float:
        """Semitones by which the query lies above the track."""
        return self.pitch_bins * 12 / BINS_PER_OCTAVE


NO_WARP = Warp()

# The reach of `warp_grid`: tempo alone and speed in per cent, pitch in bins (two semitones).
MAX_TEMPO = 12
MAX_SPEED = 8
MAX_SHIFT = BINS_PER_OCTAVE // 6


def resampled(time_ratio: float) -> Warp:
    """Return the warp of a record played at another speed: the pitch follows the tempo."""
    return Warp(time_ratio, BINS_PER_OCTAVE * math.log2(time_ratio))


def warp_grid() -> list[Warp]:
    """Return the warps to search when nothing is found at the track's own speed.

    Steps are 1 % in time up to 5 %: an error of half a step moves the ends of a 10 s query by
    three frames, which voting tolerates. Further away, where fewer songs are, steps are 2 %. Steps
    in pitch are one bin. A record's pitch follows its speed, up to `MAX_SPEED`; a tempo is changed
    without the pitch up to `MAX_TEMPO`; and either may come with a shift of pitch of its own, up
    to `MAX_SHIFT`.
    """
    grid = []
    far = range(-MAX_TEMPO, MAX_TEMPO + 1, 2)
    for percent in sorted({*range(-5, 6), *far}):
        ratio = 1 + percent / 100
        follows = round(resampled(ratio).pitch_bins) if abs(percent) <= MAX_SPEED else 0
        low, high = min(follows, 0) - MAX_SHIFT, max(follows, 0) + MAX_SHIFT
        grid += [Warp(ratio, float(bins)) for bins in range(low, high + 1)]
    grid.remove(NO_WARP)
    return grid


def finer_ratios(warp: Warp) -> list[Warp]:
    """Return finer steps of tempo around a warp of the grid."""
    steps = (-7.5, -5, -2.5, 0, 2.5, 5, 7.5)
    return [Warp(warp.time_ratio + step / 1000, warp.pitch_bins) for step in steps]


def finer_shifts(warp: Warp) -> list[Warp]:
    """Return finer steps of pitch around a warp of the grid."""
    return [Warp(warp.time_ratio, warp.pitch_bins + step) for step in (-1 / 3, 0, 1 / 3)]
