"""Kernels of the constant-Q transform, its decimator, and their alignment.

Plain numpy, computed once when a front end is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from model.spec import BINS_PER_OCTAVE, FMIN_HZ, HOP, N_BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_OCTAVES = N_BINS // BINS_PER_OCTAVE

# Cycles of a bin's tone under its taper: neighbouring bins are then one bandwidth apart.
Q = 1.0 / (2.0 ** (1.0 / BINS_PER_OCTAVE) - 1.0)

# Half the decimator's length, in samples at its input rate. Odd, so that the half-band filter
# ends on non-zero taps.
DECIMATOR_HALF = 19
# Kaiser beta for 100 dB. With 39 taps the pass band reaches 2/Q above the highest bin that is
# computed from the decimated signal, and its alias lies in the stop band.
DECIMATOR_BETA = 10.06


def bin_frequencies() -> NDArray[np.float64]:
    """Centre frequencies of the bins in Hz, ascending, shape=(N_BINS,)."""
    return FMIN_HZ * 2.0 ** (np.arange(N_BINS) / BINS_PER_OCTAVE)


def halfband() -> NDArray[np.float64]:
    """Linear-phase low-pass filter at a quarter of the sampling rate.

    Returns
    -------
    np.ndarray [shape=(2 * DECIMATOR_HALF + 1,)]
        Windowed sinc with a gain of exactly 1 at 0 Hz.
    """
    n = np.arange(-DECIMATOR_HALF, DECIMATOR_HALF + 1)
    taps = np.sinc(n / 2.0) * np.kaiser(n.size, DECIMATOR_BETA)
    return np.asarray(taps / taps.sum())


def decimator_matrix(outputs: int) -> NDArray[np.float64]:
    """Return the half-band filter and the decimation by two as one matrix.

    Parameters
    ----------
    outputs : int > 0
        Decimated samples of one block.

    Returns
    -------
    np.ndarray [shape=(2 * outputs + 2 * DECIMATOR_HALF - 1, outputs)]
        ``block @ matrix``: column n holds the filter, shifted down by 2 n rows.
    """
    taps = halfband()
    matrix = np.zeros((2 * (outputs - 1) + taps.size, outputs))
    for n in range(outputs):
        matrix[2 * n : 2 * n + taps.size, n] = taps
    return matrix


@dataclass(frozen=True, eq=False)
class Octave:
    """The kernels of one octave at the sampling rate that octave is computed at.

    Parameters
    ----------
    level : int >= 0
        Number of decimations by two; 0 is the highest octave.
    kernels : np.ndarray [shape=(before + 1 + after, 2 * BINS_PER_OCTAVE)]
        Cosines of all bins, then sines, scaled so that a sine of amplitude 1 on a bin's
        frequency has magnitude 1.
    before, after : int >= 0
        Samples before and after the column's centre, at this octave's rate.
    delay : int >= 0
        Delay of this octave's signal by the decimators, in samples at `SAMPLE_RATE`: a
        multiple of ``2 ** level``, so that every column is centred on a sample.
    shift : int, 0 or 1
        Samples at this octave's rate by which the next octave's decimator starts early, to
        keep the delays such multiples.
    """

    level: int
    kernels: NDArray[np.float64]
    before: int
    after: int
    delay: int
    shift: int

    @property
    def hop(self) -> int:
        """Samples from one column to the next, at this octave's rate."""
        return HOP >> self.level


def octaves() -> list[Octave]:
    """All octaves, highest first."""
    frequencies = bin_frequencies().reshape(N_OCTAVES, BINS_PER_OCTAVE)[::-1]
    made: list[Octave] = []
    delay = 0
    for level in range(N_OCTAVES):
        kernels, before, after = _octave_kernels(frequencies[level], level)
        # The newest sample under the filter is DECIMATOR_HALF after its centre. It is the second
        # of its pair, unless the delay would then be fractional in the next octave.
        step = 1 << level
        shift = (delay // step + DECIMATOR_HALF - 1) % 2
        made.append(Octave(level, kernels, before, after, delay, shift))
        delay += step * (DECIMATOR_HALF - 1 + shift)
    return made


def latency(parts: list[Octave]) -> int:
    """Return the samples that a column waits for its longest kernel, a multiple of HOP.

    Samples arrive in whole hops, so a column may use the HOP samples from its delayed centre on.
    """
    ahead = max(part.delay + ((part.after + 1) << part.level) for part in parts)
    return max(0, ceil((ahead - HOP) / HOP) * HOP)


def _octave_kernels(
    frequencies: NDArray[np.float64], level: int
) -> tuple[NDArray[np.float64], int, int]:
    """Sample the full-rate kernels at every ``2 ** level``-th position.

    As in CQT1992v2, lengths are whole samples at the full rate, and kernels of odd length sit
    half a sample early.
    """
    lengths = np.ceil(Q * SAMPLE_RATE / frequencies)
    centres = np.where(lengths % 2 == 1, -0.5, 0.0)
    reach = int(lengths.max() / 2 + 0.5) >> level
    places = np.arange(-reach, reach + 1)[:, None] * float(1 << level)
    phase = (places - centres) / lengths
    taper = np.where(np.abs(phase) < 0.5, 0.5 + 0.5 * np.cos(2 * np.pi * phase), 0.0)
    # The taper sums to length / 2, and half of a real sine is at the positive frequency.
    weight = taper * (4.0 / lengths) * (1 << level)
    angle = 2 * np.pi * frequencies / SAMPLE_RATE * places
    kernels = np.concatenate([weight * np.cos(angle), weight * np.sin(angle)], axis=1)
    used = np.flatnonzero(np.abs(weight).max(axis=1) > 0)
    first, last = int(used[0]), int(used[-1])
    return kernels[first : last + 1], reach - first, last - reach
