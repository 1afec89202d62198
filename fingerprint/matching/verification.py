"""Checking a guess: the track's peaks must fall on the query's here, and not elsewhere.

The peaks the track has at the guessed place are laid over the query's. A coincidence counts
for as much as it is surprising: where the query has peaks all the time at one frequency (a
drone, a sustained note), or at all frequencies at once (a drum, a vowel), a hit there says
little. What is left is compared with what the same
peaks give at a hundred wrong places, which have the same density, the same notes and the same
rhythm; the evidence is how far the guessed place stands out of those.
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
    from fingerprint.matching.candidates import Guess
    from fingerprint.matching.warp import Change

_EDGE = 2  # bins beyond both ends of the grid that peaks blur into
_BESIDE = 0.6  # of a hit, for a peak one frame or one bin away
# A peak counts (value) at each of these places around it (frames, bins), the largest value last.
_BLUR = (
    (np.float32(_BESIDE**2), np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])),
    (np.float32(_BESIDE), np.array([(-1, 0), (0, -1), (0, 1), (1, 0)])),
    (np.float32(1), np.array([(0, 0)])),
)
# Where many peaks come at once, as with a drum or a vowel, one more coincidence is no surprise.
_AROUND = 5  # frames
_LEAST_BUSY = 0.25
_NEAR = 3  # frames a guess may be off
# Wrong places: this many, none nearer than _CLEAR frames to the guess, where a sustained note
# still overlaps itself.
_WRONG = 120
_CLEAR = 10
# Evidence is counted by blocks of half a second, and no block counts for more than _CAP of its
# standard deviations: one drum beat or glissando that falls on another has dozens of
# coincidences, and all at once.
_BLOCK = 32  # frames
_CAP = 4.0
# Nor for more than this many deviations of the sum: a match rests on five blocks at least, and
# a run of notes that two pieces happen to share, a second or so, is none.
_SHARE = 1.5
# Where there is little to compare with, as in a fade, a few coincidences must not look like
# many deviations: a chance one weighs up to log(frames), 6.4 in 10 s.
_LEAST_SPREAD = 5.0


class QueryMap:
    """Where a query has peaks, weighed by how rare they are at that frequency.

    Parameters
    ----------
    landmarks : Landmarks
        The query.
    change : Change
        How the query was changed; the map is in the frames and bins of the track.
    """

    def __init__(self, landmarks: Landmarks, change: Change) -> None:
        scale = change.speed / HOP
        self.frames = max(int((landmarks.end - landmarks.start) * scale) + 1, 2 * _CLEAR + 2)
        frame = np.rint((landmarks.time - landmarks.start) * scale).astype(np.int64)
        bin_ = np.rint(landmarks.bin - np.float32(change.shift)).astype(np.int64) + _EDGE
        seen = (frame >= 0) & (frame < self.frames) & (bin_ >= 1) & (bin_ < N_BINS + 2 * _EDGE - 1)
        width = N_BINS + 2 * _EDGE
        frame, bin_ = frame[seen], bin_[seen]
        # One frame more at both ends takes the blur.
        hit = np.zeros((self.frames + 2) * width, np.float32)
        blurred = []
        for value, around in _BLUR:
            row, column = frame[:, None] + around[:, 0], bin_[:, None] + around[:, 1]
            cell = (row + 1) * width + column
            hit[cell] = value
            blurred.append((value, row, column, cell))
        # Half a hit more than seen: a frequency with none is rare, not impossible.
        share = (hit.reshape(-1, width)[1:-1].sum(axis=0) + 0.5) / (self.frames + 1)
        rare, calm = -np.log(share), -np.log(_busy(frame, self.frames))
        calm = np.concatenate([calm[:1], calm, calm[-1:]])
        # Only the cells that are hit are weighed, a thirteenth of all; the largest value last.
        for value, row, column, cell in blurred:
            surprise = rare[column] + calm[row + 1]
            hit[cell] = value * np.maximum(surprise, 0).astype(np.float32)
        hit = hit[width:-width]
        # Twice in length, to go round without a modulo.
        self.weight = np.concatenate([hit, hit])
        self.width = width
        spread = np.linspace(_CLEAR, self.frames - _CLEAR - 1, _WRONG)
        lags = np.concatenate([np.arange(-_NEAR, _NEAR + 1), np.unique(spread.astype(np.int64))])
        self.lags = lags
        # Where a lag starts reading: going round at the ends keeps the number of peaks equal.
        self.rows = (-lags % self.frames)[:, None] * width


def _busy(frame: NDArray[np.int64], frames: int) -> NDArray[np.float64]:
    """Return how many peaks there are around each frame, as a share of the mean."""
    count = np.convolve(np.bincount(frame, minlength=frames), np.ones(_AROUND), "same")
    return np.maximum(count / max(float(count.mean()), 1e-9), _LEAST_BUSY)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What laying a track over a query has shown.

    Parameters
    ----------
    lag : int
        Frame of the track at the query's start, as corrected by the peaks.
    z : float
        Standard deviations above the wrong places.
    wrong : np.ndarray [shape=(wrong places,), float32]
        The same for each of the wrong places, which are those of every other piece of a query.
    first, last : int
        Frames between which the coincidences lie, half-open, from the query's start but as
        long as the track's.
    """

    lag: int
    z: float
    wrong: NDArray[np.float32]
    first: int
    last: int


def check(query: QueryMap, guess: Guess) -> Evidence:
    """Return the evidence for a guess."""
    start = int(guess.segment.starts[guess.track])
    length = int(guess.segment.frames[guess.track])
    first = start + max(guess.lag, 0)
    last = start + min(guess.lag + query.frames, length)
    nothing = Evidence(guess.lag, 0.0, np.zeros(len(query.lags) - 2 * _NEAR - 1, np.float32), 0, 0)
    if first >= last:
        return nothing
    frame, bin_ = guess.segment.peaks(first, last)
    if not len(frame):
        return nothing
    cell = (frame - (start + guess.lag)) * query.width + (bin_ + _EDGE)
    score = query.weight.take(cell + query.rows)
    blocks = _by_blocks(score, frame)
    total = blocks.sum(axis=1)
    near, wrong = total[: 2 * _NEAR + 1], total[2 * _NEAR + 1 :]
    best = int(near.argmax())
    spread = max(float(wrong.std()), _LEAST_SPREAD)
    shown = float(np.minimum(blocks[best], _SHARE * spread).sum())
    mean = float(wrong.mean())
    begin, end = _heard(score[best] - score[2 * _NEAR + 1 :].mean(axis=0))
    lag = guess.lag + int(query.lags[best])
    return Evidence(
        lag,
        (shown - mean) / spread,
        (wrong - np.float32(mean)) / np.float32(spread),
        max(int(frame[begin]) - start - lag, 0),
        min(int(frame[end]) - start - lag + 1, query.frames),
    )


def together(shown: Sequence[Evidence]) -> float:
    """Return the standard deviations by which consecutive pieces of a query speak for a guess.

    Chance alone would agree with itself as little from piece to piece as noise, and the sum of
    n pieces would spread by the root of n. But music keeps its beat and its notes: a place that
    is wrong by whole bars gains a little in every piece, and so may the guess. So the sum is
    compared with the sums of the wrong places, each added up over the same pieces.
    """
    places = min(len(evidence.wrong) for evidence in shown)
    wrong = np.sum([evidence.wrong[:places] for evidence in shown], axis=0)
    spread = max(float(wrong.std()) if places else 0.0, math.sqrt(len(shown)))
    return sum(evidence.z for evidence in shown) / spread


def _by_blocks(score: NDArray[np.float32], frame: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the evidence of each lag in each block of time, above that of the wrong ones.

    Parameters
    ----------
    score : np.ndarray [shape=(lags, peaks)]
        Weight of the coincidence of each peak at each lag, the near lags first.
    frame : np.ndarray [shape=(peaks,)]
        Where the peaks are, ascending.
    """
    block = frame // _BLOCK
    edges = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
    sums = np.add.reduceat(score, edges, axis=1)
    wrong = sums[2 * _NEAR + 1 :]
    sums -= wrong.mean(axis=0)
    cap = _CAP * np.maximum(wrong.std(axis=0), _LEAST_SPREAD)
    return np.clip(sums, -cap, cap)


def _heard(gain: NDArray[np.float32]) -> tuple[int, int]:
    """Return the first and the last peak of the stretch that speaks most for the guess.

    Peaks of a track that is heard gain on average; a stretch in which they gain less than a
    third of that is left out at either end.
    """
    total = np.cumsum(gain - max(float(gain.mean()), 0.0) / 3)
    floor = np.minimum.accumulate(np.concatenate([[0], total[:-1]]))
    end = int((total - floor).argmax())
    before = np.concatenate([[0], total[:end]])
    return int(before.argmin()), end
