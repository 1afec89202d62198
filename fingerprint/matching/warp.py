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


def resampled(time_ratio: float) -> Warp:
    """Return the warp of a record played at another speed: the pitch follows the tempo."""
    return Warp(time_ratio, BINS_PER_OCTAVE * math.log2(time_ratio))


def warp_grid() -> list[Warp]:
    """Return the warps to search when nothing is found at the track's own speed.

    Steps are 1 % in time: an error of half a step moves the ends of a 10 s query by three
    frames, which voting tolerates. Steps in pitch are one bin. Tempo and pitch are combined only
    in the way resampling does.
    """
    ratios = [1 + percent / 100 for percent in range(-5, 6) if percent]
    shifts = [float(bins) for bins in range(-6, 7) if bins]
    return [
        *(resampled(ratio) for ratio in ratios),
        *(Warp(time_ratio=ratio) for ratio in ratios),
        *(Warp(pitch_bins=shift) for shift in shifts),
    ]


def finer_steps(warp: Warp) -> list[Warp]:
    """Return finer steps around a warp, of the same kind."""
    if warp.time_ratio == 1:
        return [Warp(1.0, warp.pitch_bins + step) for step in (-1 / 3, 0, 1 / 3)]
    ratios = [warp.time_ratio + step / 1000 for step in (-5, -2.5, 0, 2.5, 5)]
    if warp.pitch_bins:
        return [resampled(ratio) for ratio in ratios]
    return [Warp(ratio) for ratio in ratios]
