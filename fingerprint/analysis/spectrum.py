"""Audio to a log-frequency spectrum: one column every 16 ms, three bins per semitone.

A change of speed or pitch moves a log-frequency spectrum by a constant number of bins, so the
matcher can search a shifted song without a second index.

The transform is numpy's, in every installation, so that a catalogue built on one machine has the
landmarks that a worker on another finds: it transforms each column alone, without vectors of
several, so that its bits depend on no other column and on no extension of the processor.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import BINS_PER_OCTAVE, F_MIN_HZ, HOP, N_BINS, SAMPLE_RATE, TAPER

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Power below this is digital silence: far under the rounding noise of 16-bit audio (1e-13), so
# landmarks do not depend on the level of a recording.
_FLOOR = 1e-20
_BLOCK = 128  # columns: every product has this many rows, so that each is computed alike
_TURN = 32  # columns transformed at once: their spectra stay in the cache


def log_spectrum(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log2 power on the log-frequency grid.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Mono audio at 16 kHz. What is not finite is taken for silence.

    Returns
    -------
    np.ndarray [shape=(1 + n // HOP, N_BINS), float32]
        Column t is centred on sample t * HOP; the audio is padded with zeros.
    """
    return log_columns(samples, 0, 1 + len(samples) // HOP)


def log_columns(samples: NDArray[np.float32], first: int, end: int) -> NDArray[np.float32]:
    """Return the columns [first, end) of :func:`log_spectrum`."""
    used = samples[max(first * HOP - TAPER // 2, 0) : max(end * HOP + TAPER // 2, 0)]
    if not np.isfinite(used).all():
        used = np.nan_to_num(used, nan=0.0, posinf=0.0, neginf=0.0)
    blocks = -(-(end - first) // _BLOCK)
    padded = np.zeros(TAPER + blocks * _BLOCK * HOP, np.float32)
    before = max(TAPER // 2 - first * HOP, 0)
    padded[before : before + len(used)] = used[: len(padded) - before]
    frames = np.lib.stride_tricks.sliding_window_view(padded, TAPER)[::HOP]

    taper, octaves, (low, high) = _taper(), _octaves(), _used()
    out = np.empty((blocks * _BLOCK, N_BINS), np.float32)
    power = np.zeros((_BLOCK, high - low), np.float32)
    cut = np.empty((_TURN, TAPER), np.float32)
    spectrum = np.empty((_TURN, TAPER // 2 + 1), np.complex64)
    parts = spectrum.view(np.float32)[:, 2 * low : 2 * high]
    squares = np.empty((_TURN, 2 * (high - low)), np.float32)
    for start in range(0, blocks * _BLOCK, _BLOCK):
        # The rest of the last block is not transformed: its rows of the product are not used.
        for turn in range(start, min(start + _BLOCK, end - first), _TURN):
            np.multiply(frames[turn : turn + _TURN], taper, out=cut)
            np.fft.rfft(cut, out=spectrum)  # type: ignore[arg-type]  # its stub knows no float32
            np.square(parts, out=squares)
            here = power[turn - start : turn - start + _TURN]
            np.add(squares[:, 0::2], squares[:, 1::2], out=here)
        for at, kernel, to in octaves:
            part = power[:, at - low : at - low + len(kernel)]
            np.matmul(part, kernel, out=out[start : start + _BLOCK, to])
    out = out[: end - first]
    out += np.float32(_FLOOR)
    np.log2(out, out=out)
    return out


@cache
def _taper() -> NDArray[np.float32]:
    # Scaled so that a full-scale sine has power near 1.
    taper = np.hanning(TAPER + 1)[:-1]
    scaled: NDArray[np.float32] = (taper * (2 / taper.sum())).astype(np.float32)
    return scaled


@cache
def _octaves() -> list[tuple[int, NDArray[np.float32], slice]]:
    """Return (first FFT bin, kernel [FFT bins, bins], bins) for each octave.

    A bin is a raised cosine over the FFT's power: one bin to each side where the FFT is finer
    than the grid, 1.5 FFT bins where it is coarser, so that the sum stays smooth in frequency
    and a peak between two FFT bins is found between them. Octave by octave the kernels are
    small and dense, six times less work than one matrix for all.
    """
    fft_hz = SAMPLE_RATE / TAPER
    centre = F_MIN_HZ * 2 ** (np.arange(N_BINS) / BINS_PER_OCTAVE)
    half = np.maximum(centre * (2 ** (1 / BINS_PER_OCTAVE) - 1), 1.5 * fft_hz)
    grid = np.arange(TAPER // 2 + 1) * fft_hz
    away = (grid[:, None] - centre) / half
    kernel = np.where(np.abs(away) < 1, 1 + np.cos(np.pi * away), 0)
    kernel /= kernel.sum(axis=0)

    parts = []
    for first in range(0, N_BINS, BINS_PER_OCTAVE):
        bins = slice(first, min(first + BINS_PER_OCTAVE, N_BINS))
        used = np.flatnonzero(kernel[:, bins].any(axis=1))
        dense = kernel[used[0] : used[-1] + 1, bins]
        parts.append((int(used[0]), np.ascontiguousarray(dense, np.float32), bins))
    return parts


@cache
def _used() -> tuple[int, int]:
    """Return the FFT bins that any kernel uses, half-open."""
    octaves = _octaves()
    return octaves[0][0], max(low + len(kernel) for low, kernel, _ in octaves)
