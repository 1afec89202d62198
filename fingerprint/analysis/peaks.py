"""Peaks of a log-frequency spectrum, chosen by their neighbourhood alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.spectrum import log_spectrum
from fingerprint.settings import HOP, N_BINS, RANK_BINS, RANK_FRAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.analysis.live_spectrum import LiveSpectrum

# A peak is the largest value within +-REACH_FRAMES and +-REACH_BINS ...
_REACH_FRAMES = 3
_REACH_BINS = 3
# ... of a spectrum minus its mean over this many frames and bins around, so that coloured noise,
# equalisation and level do not matter.
_MEAN_FRAMES = 32
_MEAN_BINS = 16
# log2 power above that mean; less is the ripple of noise.
_MIN_HEIGHT = 1.0
# This far (log2 power, 72 dB) below the loudest sound around is the rounding noise of codecs and
# float arithmetic, not music.
_RANGE = 24.0
# Peaks with this many stronger neighbours or more are dropped.
_MAX_RANK = 24
_BLOCK = 1024  # columns processed together; blocks overlap by the margin
_RANKED = 96  # peaks ranked together
_MARGIN = 2 * _MEAN_FRAMES + _REACH_FRAMES + 1


def extract(samples: NDArray[np.float32]) -> Landmarks:
    """Return the landmarks of mono audio at 16 kHz.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        Audio of any level.

    Returns
    -------
    Landmarks
        Times count from the first sample. Landmarks more than `EDGE` from both ends do not depend
        on audio beyond the ends.
    """
    return landmarks_of(log_spectrum(samples), len(samples))


def extract_next(samples: NDArray[np.float32], start: int, spectrum: LiveSpectrum) -> Landmarks:
    """Return the landmarks of a piece of audio that comes piece by piece.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        The piece; it overlaps the one before it.
    start : int
        Where it begins, in samples, a multiple of HOP.
    spectrum : LiveSpectrum
        Of the same audio.

    Returns
    -------
    Landmarks
        Times count from the beginning of the audio. Those that are more than `EDGE` from both ends
        of the piece equal those of :func:`extract` for any audio around.
    """
    return landmarks_of(spectrum.of(samples, start), len(samples)).shift(start)


def landmarks_of(spectrum: NDArray[np.float32], length: int) -> Landmarks:
    """Return the landmarks of a spectrum of `length` samples."""
    found = [
        _peaks(spectrum, start, min(start + _BLOCK, len(spectrum)))
        for start in range(0, len(spectrum), _BLOCK)
    ]
    frame, bins, fine_time, fine_bin, height = (
        np.concatenate(parts) for parts in zip(*found, strict=True)
    )
    rank = _ranks(frame, bins, height)
    keep = rank < _MAX_RANK
    time = (frame[keep].astype(np.int64) * 8 + fine_time[keep]) * (HOP // 8)
    bin_ = (bins[keep] + fine_bin[keep] / 8).astype(np.float32)
    # A refined time may pass that of a neighbour: sort again.
    order = np.lexsort((bin_, time))
    return Landmarks(time[order], bin_[order], rank[keep][order], 0, length)


def _peaks(spectrum: NDArray[np.float32], start: int, end: int) -> tuple[NDArray[np.int32], ...]:
    """Return frame, bin, refinements in eighths, and height of the peaks in [start, end)."""
    first = max(0, start - _MARGIN)
    block = spectrum[first : end + _MARGIN]
    loudest = _running_max(block.max(axis=1, keepdims=True), _MEAN_FRAMES // 2, 0)
    block = np.maximum(block, loudest - np.float32(_RANGE))
    flat = block - _box_mean(block)
    top = _running_max(_running_max(flat, _REACH_FRAMES, 0), _REACH_BINS, 1)
    is_peak = (flat == top) & (flat > _MIN_HEIGHT)
    is_peak[: start - first] = False
    is_peak[end - first :] = False
    is_peak[:, 0] = is_peak[:, -1] = False  # the edge of the grid is no maximum
    frame, bins = np.divmod(np.flatnonzero(is_peak), N_BINS)

    height = flat[frame, bins]
    last = len(flat) - 1
    fine_time = _vertex(
        flat[np.maximum(frame - 1, 0), bins], height, flat[np.minimum(frame + 1, last), bins]
    )
    fine_bin = _vertex(flat[frame, bins - 1], height, flat[frame, bins + 1])
    return (frame + first).astype(np.int32), bins.astype(np.int32), fine_time, fine_bin, height


def _vertex(
    left: NDArray[np.float32], mid: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Return the vertex of the parabola through three values, in eighths of a step."""
    bend = 2 * mid - left - right
    away = (right - left) / np.maximum(bend, np.float32(1e-6))
    eighths: NDArray[np.int32] = np.rint(np.clip(away * 4, -4, 4)).astype(np.int32)
    return eighths


def _box_mean(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over _MEAN_FRAMES x _MEAN_BINS around each cell, edges repeated.

    Sums are built by doubling, not from a running total: its rounding would depend on all values
    before, and an excerpt would not give the landmarks of the whole.
    """
    for axis, width in ((0, _MEAN_FRAMES), (1, _MEAN_BINS)):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (width // 2, width - width // 2 - 1)
        block = np.pad(block, pad, mode="edge")
        step = 1
        while step < width:
            block = _head(block, step, axis) + _tail(block, step, axis)
            step *= 2
    return block * np.float32(1 / (_MEAN_FRAMES * _MEAN_BINS))


def _running_max(block: NDArray[np.float32], reach: int, axis: int) -> NDArray[np.float32]:
    """Return the maximum over +-`reach` cells along `axis`."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (reach, reach)
    block = np.pad(block, pad, constant_values=-np.inf)
    width, step = 2 * reach + 1, 1
    while 2 * step <= width:
        block = np.maximum(_head(block, step, axis), _tail(block, step, axis))
        step *= 2
    rest = width - step
    return np.maximum(_head(block, rest, axis), _tail(block, rest, axis)) if rest else block


def _head(block: NDArray[np.float32], step: int, axis: int) -> NDArray[np.float32]:
    return block[:-step] if axis == 0 else block[:, :-step]


def _tail(block: NDArray[np.float32], step: int, axis: int) -> NDArray[np.float32]:
    return block[step:] if axis == 0 else block[:, step:]


def _ranks(
    frame: NDArray[np.int32], bins: NDArray[np.int32], height: NDArray[np.float32]
) -> NDArray[np.int16]:
    """Return the number of higher neighbours of each peak.

    A neighbour is at most RANK_FRAMES away in time and RANK_BINS in frequency. Peaks are sorted by
    time, so a group of them is compared with all between its first and its last neighbour.
    """
    rank = np.zeros(len(frame), np.int16)
    # Unsigned and small: one comparison tests whether a difference lies in [-reach, reach].
    bins = bins.astype(np.uint8)
    first = np.arange(0, len(frame), _RANKED)
    last = np.minimum(first + _RANKED, len(frame))
    low = np.searchsorted(frame, frame[first] - RANK_FRAMES)
    high = np.searchsorted(frame, frame[last - 1] + RANK_FRAMES, side="right")
    for a, b, c, d in zip(*(x.tolist() for x in (first, last, low, high)), strict=True):
        others = (frame[c:d] - frame[c]).astype(np.uint32)
        near = others - (others[a - c : b - c, None] - np.uint32(RANK_FRAMES)) <= 2 * RANK_FRAMES
        near &= bins[c:d] - (bins[a:b, None] - np.uint8(RANK_BINS)) <= 2 * RANK_BINS
        near &= height[c:d] > height[a:b, None]
        rank[a:b] = near.view(np.uint8).sum(axis=1, dtype=np.uint16)
    return rank
