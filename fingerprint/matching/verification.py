"""Verification of a candidate: the track's peaks must match the query's here and not elsewhere.

The track's peaks at the candidate's place are laid over the query's. Each coincidence is weighted
by its surprise: it counts for little where the query has peaks all the time at one frequency (a
drone, a sustained note) or at all frequencies at once (a drum, a vowel). The sum is compared with
the sums of the same peaks at every wrong lag, which have the same density, notes and rhythm. The
result z is the number of deviations by which the candidate stands out.

The deviation is that of the larger half of the sums. In rhythmic music most wrong lags lie beside
the beat and a few upon it, and a wrong candidate lies upon it too: the few must count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
NEAR = 3  # frames by which a candidate's lag may be wrong
# Every third lag is a wrong one, as peaks blur into the lags between; but for those nearer than
# this, where a sustained note still overlaps itself.
_CLEAR = 10
_STEP = 3
# Weights are summed over blocks of half a second. A block counts for at most _CAP of its standard
# deviations: one drum beat or glissando on another gives dozens of coincidences at once.
_BLOCK = 32  # frames
_CAP = 4.0
# It also counts for at most this many deviations of the sum: a match then needs five blocks, and a
# run of notes that two pieces share by chance, a second or so, is no match.
_SHARE = 1.5
# Where the wrong lags have few coincidences, as in a fade, a few must not look like many
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
        self.frames = max(int((landmarks.end - landmarks.start) * scale) + 1, 4 * _CLEAR)
        frame = np.rint((landmarks.time - landmarks.start) * scale).astype(np.int64)
        bin_ = np.rint(landmarks.bin - np.float32(warp.pitch_bins)).astype(np.int64) + _EDGE
        width = N_BINS + 2 * _EDGE
        seen = (frame >= 0) & (frame < self.frames) & (bin_ >= 1) & (bin_ < width - 1)
        frame, bin_ = frame[seen], bin_[seen]
        length = self.frames + 2  # one more frame at each end receives the blur
        hit = np.zeros(width * length, np.float32)
        blurred = []
        for value, around in _BLUR:
            column, row = frame[:, None] + around[:, 0], bin_[:, None] + around[:, 1]
            cell = row * length + column + 1
            hit[cell] = value
            blurred.append((value, row, column, cell))
        # Half a hit is added: a frequency without hits is rare, not impossible.
        share = (hit.reshape(width, -1)[:, 1:-1].sum(axis=1) + 0.5) / (self.frames + 1)
        rare, calm = -np.log(share), -np.log(_density(frame, self.frames))
        calm = np.concatenate([calm[:1], calm, calm[-1:]])
        # Only cells with a hit get a weight, a thirteenth of all; the largest value last.
        for value, row, column, cell in blurred:
            surprise = rare[row] + calm[column + 1]
            hit[cell] = value * np.maximum(surprise, 0).astype(np.float32)
        inside = hit.reshape(width, -1)[:, 1:-1]
        # Stored twice, from NEAR frames before the start: the weights of a peak at all lags lie
        # in one row, and wrapping around keeps the number of peaks equal.
        self._row = 2 * self.frames
        size = width * self._row
        # The lags that are compared, and no others: a third of all.
        self.wrong_lags = range(NEAR + _CLEAR, self.frames + NEAR - _CLEAR + 1, _STEP)
        # Behind it, a stretch without weights for what is no peak.
        cells = np.empty(size + self.wrong_lags[-1] + 1, np.float32)
        cells[size:] = 0
        np.concatenate(
            [inside[:, -NEAR:], inside, inside[:, :-NEAR]],
            axis=1,
            out=cells[:size].reshape(width, self._row),
        )
        self._cells, self._nothing = cells[:size], size
        self._near = sliding_window_view(cells, 2 * NEAR + 1)
        reach = self.wrong_lags[-1] - self.wrong_lags[0] + 1
        self._wrong = sliding_window_view(cells[self.wrong_lags[0] :], reach)[:, ::_STEP]
        self._expected = inside.mean(axis=1)

    def expected(self, bin_: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the mean weight of peaks over all lags."""
        mean: NDArray[np.float32] = self._expected[bin_ + _EDGE]
        return mean

    def hits(self, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which peaks coincide with the query's at lag 0."""
        hit: NDArray[np.bool_] = self._cells[(bin_ + _EDGE) * self._row + frame + NEAR] > 0
        return hit

    def chance(self, bin_: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of all lags at which peaks coincide with the query's."""
        filled: NDArray[np.float64] = (self._cells.reshape(-1, self._row) > 0).mean(axis=1)
        return filled[bin_ + _EDGE]

    def at_lags(
        self,
        frame: NDArray[np.int64],
        bin_: NDArray[np.int64],
        is_peak: NDArray[np.bool_],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the weight of each peak at several lags, wrapping around the query's end.

        Parameters
        ----------
        frame : np.ndarray [shape=(peaks,)]
            Frames in [0, frames).
        bin_ : np.ndarray [shape=(peaks,)]
            Bins in [0, N_BINS).
        is_peak : np.ndarray [shape=(blocks, n)]
            Where the peaks lie in the result; elsewhere, all weights are 0.

        Returns
        -------
        near : np.ndarray [shape=(blocks, n, 2 * NEAR + 1)]
            At the lags `NEAR` to -`NEAR`, so that column `NEAR` is lag 0.
        wrong : np.ndarray [shape=(blocks, n, wrong lags)]
            At `NEAR` less each of `wrong_lags`.
        """
        at = np.full(is_peak.shape, self._nothing)
        at[is_peak] = (bin_ + _EDGE) * self._row + frame
        near: NDArray[np.float32] = self._near[at]
        wrong: NDArray[np.float32] = self._wrong[at]
        return near, wrong


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
        Deviations above the wrong lags.
    wrong : np.ndarray [shape=(wrong lags,), float32]
        The same for each wrong lag; all pieces of a query have the same wrong lags.
    first, last : int
        Frames of the track, half-open, between which the coincidences lie, from the query's start.
    gain : float
        Weight of all coincidences: comparable between warps of one query, where z is not, because
        notes that are out of tune coincide less at the wrong lags too.
    """

    lag: int
    z: float
    wrong: NDArray[np.float32]
    first: int
    last: int
    gain: float


def verify(query: QueryMap, candidate: Candidate) -> Verification:
    """Lay the track of a candidate over a piece of a query."""
    start = int(candidate.segment.starts[candidate.track])
    length = int(candidate.segment.frames[candidate.track])
    first = start + max(candidate.lag, 0)
    last = start + min(candidate.lag + query.frames, length)
    none_wrong = np.zeros(len(query.wrong_lags), np.float32)
    nothing = Verification(candidate.lag, 0.0, none_wrong, 0, 0, 0.0)
    if first >= last:
        return nothing
    frame, bin_ = candidate.segment.peaks(first, last)
    if not len(frame):
        return nothing
    frame = frame - (start + candidate.lag)
    is_peak = _in_blocks(frame)
    at_near, at_wrong = query.at_lags(frame, bin_, is_peak)
    near, wrong = _above_mean(at_near.sum(axis=1), at_wrong.sum(axis=1))
    best, total = int(near.sum(axis=0).argmax()), wrong.sum(axis=0)
    weight = at_near[:, :, best][is_peak]
    spread, mean = max(_spread(total), _MIN_SPREAD), float(total.mean())
    capped = float(np.minimum(near[:, best], _SHARE * spread).sum())
    begin, end = _span(weight - query.expected(bin_))
    away = NEAR - best
    return Verification(
        candidate.lag + away,
        (capped - mean) / spread,
        (total - np.float32(mean)) / np.float32(spread),
        max(int(frame[begin]) - away, 0),
        min(int(frame[end]) - away + 1, query.frames),
        float(weight.sum()),
    )


def combined_z(run: Sequence[Verification]) -> float:
    """Return the deviations by which consecutive pieces of a query support a candidate.

    If pieces were independent, the sum of n z-scores would spread by the square root of n. But
    music keeps its beat and its notes: a lag that is wrong by whole bars gains a little in every
    piece, and so may the candidate. So the sum is compared with the sums at the wrong lags, each
    added up over the same pieces.
    """
    lags = min(len(each.wrong) for each in run)
    wrong = np.sum([each.wrong[:lags] for each in run], axis=0)
    return sum(each.z for each in run) / max(_spread(wrong), math.sqrt(len(run)))


def _spread(sums: NDArray[np.float32]) -> float:
    """Return the standard deviation of sums as the larger half of them tells it."""
    above = np.maximum(sums - sums.mean(), 0)
    return math.sqrt(2 * float(np.square(above).mean()))


def _in_blocks(frame: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a table of the blocks of time with peaks, as wide as the fullest has peaks.

    Row by row, its first cells are the peaks, whose frames ascend. All blocks are then summed at
    once, several times faster than one by one or with `np.add.reduceat`.
    """
    count = np.bincount(frame // _BLOCK)
    count = count[count > 0]
    is_peak: NDArray[np.bool_] = np.arange(int(count.max())) < count[:, None]
    return is_peak


def _above_mean(
    near: NDArray[np.float32], wrong: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weight in each block of time above the mean of the wrong lags, capped.

    Parameters
    ----------
    near, wrong : np.ndarray [shape=(blocks, lags)]
        Weight of the coincidences in each block at each lag.

    Returns
    -------
    near, wrong : np.ndarray [shape=(blocks, lags)]
    """
    mean = wrong.mean(axis=1, keepdims=True)
    near, wrong = near - mean, wrong - mean
    cap = _CAP * np.maximum(wrong.std(axis=1, keepdims=True), np.float32(_MIN_SPREAD))
    return np.clip(near, -cap, cap), np.clip(wrong, -cap, cap)


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
