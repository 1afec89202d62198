"""Verification of a candidate: the track's peaks must match the query's here and not elsewhere.

The track's peaks at the candidate's place are laid over the query's. Each coincidence is weighted
by its surprise: it counts for little where the query has peaks all the time at one frequency (a
drone, a sustained note) or at all frequencies at once (a drum, a vowel). The sum is compared with
the sums of the same peaks at 120 wrong places, which have the same density, notes and rhythm. The
result z is the number of standard deviations by which the candidate stands out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import HOP, N_BINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.candidates import Candidate
    from fingerprint.matching.warp import Warp

_EDGE = 2  # bins beyond both ends of the grid that peaks blur into
_BESIDE = 0.6  # weight of a peak one frame or one bin away, relative to a hit
# Weight of a peak in the cells around it (frames, bins), the largest weight last.
_BLUR = (
    (np.float32(_BESIDE**2), np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])),
    (np.float32(_BESIDE), np.array([(-1, 0), (0, -1), (0, 1), (1, 0)])),
    (np.float32(1), np.array([(0, 0)])),
)
# Where many peaks come at once, as with a drum or a vowel, a coincidence is no surprise.
_DENSITY_FRAMES = 5
_MIN_DENSITY = 0.25
_NEAR = 3  # frames by which a candidate's lag may be wrong
# Number of wrong places. None is nearer than _CLEAR frames, where a sustained note still overlaps
# itself.
_WRONG = 120
_CLEAR = 10
# Weights are summed over blocks of half a second. A block counts for at most _CAP of its standard
# deviations: one drum beat or glissando on another gives dozens of coincidences at once.
_BLOCK = 32  # frames
_CAP = 4.0
# It also counts for at most this many deviations of the sum: a match then needs five blocks, and a
# run of notes that two pieces share by chance, a second or so, is no match.
_SHARE = 1.5
# Where the wrong places have few coincidences, as in a fade, a few must not look like many
# deviations: a chance coincidence weighs up to log(frames), 6.4 in 10 s.
_MIN_SPREAD = 5.0


class QueryMap:
    """Weights of the cells where a query has peaks, larger where peaks are rare.

    Parameters
    ----------
    landmarks : Landmarks
        The query.
    warp : Warp
        How the query differs from the track; the map is in the frames and bins of the track.
    """

    def __init__(self, landmarks: Landmarks, warp: Warp) -> None:
        scale = warp.time_ratio / HOP
        self.frames = max(int((landmarks.end - landmarks.start) * scale) + 1, 2 * _CLEAR + 2)
        frame = np.rint((landmarks.time - landmarks.start) * scale).astype(np.int64)
        bin_ = np.rint(landmarks.bin - np.float32(warp.pitch_bins)).astype(np.int64) + _EDGE
        seen = (frame >= 0) & (frame < self.frames) & (bin_ >= 1) & (bin_ < N_BINS + 2 * _EDGE - 1)
        width = N_BINS + 2 * _EDGE
        frame, bin_ = frame[seen], bin_[seen]
        # One more frame at each end receives the blur.
        hit = np.zeros((self.frames + 2) * width, np.float32)
        blurred = []
        for value, around in _BLUR:
            row, column = frame[:, None] + around[:, 0], bin_[:, None] + around[:, 1]
            cell = (row + 1) * width + column
            hit[cell] = value
            blurred.append((value, row, column, cell))
        # Half a hit is added: a frequency without hits is rare, not impossible.
        share = (hit.reshape(-1, width)[1:-1].sum(axis=0) + 0.5) / (self.frames + 1)
        rare, calm = -np.log(share), -np.log(_density(frame, self.frames))
        calm = np.concatenate([calm[:1], calm, calm[-1:]])
        # Only cells with a hit get a weight, a thirteenth of all; the largest value last.
        for value, row, column, cell in blurred:
            surprise = rare[column] + calm[row + 1]
            hit[cell] = value * np.maximum(surprise, 0).astype(np.float32)
        hit = hit[width:-width]
        # Stored twice, so that reading past the end wraps around without a modulo.
        self.weight = np.concatenate([hit, hit])
        self.width = width
        spread = np.linspace(_CLEAR, self.frames - _CLEAR - 1, _WRONG)
        lags = np.concatenate([np.arange(-_NEAR, _NEAR + 1), np.unique(spread.astype(np.int64))])
        self.lags = lags
        # First row of each lag: wrapping around keeps the number of peaks equal.
        self.rows = (-lags % self.frames)[:, None] * width


def _density(frame: NDArray[np.int64], frames: int) -> NDArray[np.float64]:
    """Return the number of peaks around each frame, relative to the mean."""
    count = np.convolve(np.bincount(frame, minlength=frames), np.ones(_DENSITY_FRAMES), "same")
    return np.maximum(count / max(float(count.mean()), 1e-9), _MIN_DENSITY)


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """The result of `verify` for one piece of a query.

    Parameters
    ----------
    lag : int
        Frame of the track at the query's start, corrected by the peaks.
    z : float
        Standard deviations above the wrong places.
    wrong : np.ndarray [shape=(wrong places,), float32]
        The same for each wrong place; all pieces of a query have the same wrong places.
    first, last : int
        Frames of the track, half-open, between which the coincidences lie, from the query's start.
    """

    lag: int
    z: float
    wrong: NDArray[np.float32]
    first: int
    last: int


def verify(query: QueryMap, candidate: Candidate) -> Verification:
    """Lay the track of a candidate over a piece of a query."""
    start = int(candidate.segment.starts[candidate.track])
    length = int(candidate.segment.frames[candidate.track])
    first = start + max(candidate.lag, 0)
    last = start + min(candidate.lag + query.frames, length)
    nothing = Verification(
        candidate.lag, 0.0, np.zeros(len(query.lags) - 2 * _NEAR - 1, np.float32), 0, 0
    )
    if first >= last:
        return nothing
    frame, bin_ = candidate.segment.peaks(first, last)
    if not len(frame):
        return nothing
    cell = (frame - (start + candidate.lag)) * query.width + (bin_ + _EDGE)
    score = query.weight.take(cell + query.rows)
    blocks = _by_blocks(score, frame - (start + candidate.lag))
    total = blocks.sum(axis=1)
    near, wrong = total[: 2 * _NEAR + 1], total[2 * _NEAR + 1 :]
    best = int(near.argmax())
    spread = max(float(wrong.std()), _MIN_SPREAD)
    capped = float(np.minimum(blocks[best], _SHARE * spread).sum())
    mean = float(wrong.mean())
    begin, end = _span(score[best] - score[2 * _NEAR + 1 :].mean(axis=0))
    lag = candidate.lag + int(query.lags[best])
    return Verification(
        lag,
        (capped - mean) / spread,
        (wrong - np.float32(mean)) / np.float32(spread),
        max(int(frame[begin]) - start - lag, 0),
        min(int(frame[end]) - start - lag + 1, query.frames),
    )


def combined_z(run: Sequence[Verification]) -> float:
    """Return the standard deviations by which consecutive pieces of a query support a candidate.

    If pieces were independent, the sum of n z-scores would spread by the square root of n. But
    music keeps its beat and its notes: a place that is wrong by whole bars gains a little in every
    piece, and so may the candidate. So the sum is compared with the sums of the wrong places, each
    added up over the same pieces.
    """
    places = min(len(each.wrong) for each in run)
    wrong = np.sum([each.wrong[:places] for each in run], axis=0)
    spread = max(float(wrong.std()) if places else 0.0, math.sqrt(len(run)))
    return sum(each.z for each in run) / spread


def _by_blocks(score: NDArray[np.float32], frame: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the weight of each lag in each block of time, above the mean of the wrong lags.

    Parameters
    ----------
    score : np.ndarray [shape=(lags, peaks)]
        Weight of the coincidence of each peak at each lag, the near lags first.
    frame : np.ndarray [shape=(peaks,)]
        Frames of the peaks, ascending.
    """
    block = frame // _BLOCK
    edges = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
    sums = np.add.reduceat(score, edges, axis=1)
    wrong = sums[2 * _NEAR + 1 :]
    sums -= wrong.mean(axis=0)
    cap = _CAP * np.maximum(wrong.std(axis=0), _MIN_SPREAD)
    return np.clip(sums, -cap, cap)


def _span(gain: NDArray[np.float32]) -> tuple[int, int]:
    """Return the first and the last peak of the span that supports the candidate most.

    Where the track plays, its peaks gain on average; at both ends, a span in which they gain less
    than a third of that average is cut off.
    """
    total = np.cumsum(gain - max(float(gain.mean()), 0.0) / 3)
    floor = np.minimum.accumulate(np.concatenate([[0], total[:-1]]))
    end = int((total - floor).argmax())
    before = np.concatenate([[0], total[:end]])
    return int(before.argmin()), end
