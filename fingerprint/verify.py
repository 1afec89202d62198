"""Checking a guess: the track's peaks must fall on the query's here, and not elsewhere.

The peaks the track has at the guessed place are laid over the query's. A coincidence counts
for as much as it is surprising: where the query has peaks all the time at one frequency (a
drone, a sustained note), a hit there says nothing. What is left is compared with what the same
peaks give at a few hundred wrong places, which have the same density, the same notes and the
same rhythm; the evidence is how far the guessed place stands out of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import HOP, N_BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.landmarks import Landmarks
    from fingerprint.votes import Guess

_EDGE = 16  # bins beyond both ends of the grid, for shifted tracks
_NEAR = 3  # frames a guess may be off
# Wrong places: this many, none nearer than _CLEAR frames to the guess, where a sustained note
# still overlaps itself.
_WRONG = 160
_CLEAR = 10


class QueryMap:
    """Where a query has peaks, weighed by how rare they are at that frequency.

    Parameters
    ----------
    landmarks : Landmarks
        The query.
    stretch : float
        Seconds of the track in a second of the query.
    """

    def __init__(self, landmarks: Landmarks, stretch: float = 1.0) -> None:
        scale = stretch / HOP
        self.frames = max(int((landmarks.end - landmarks.start) * scale) + 1, 2 * _CLEAR + 2)
        frame = np.rint((landmarks.time - landmarks.start) * scale).astype(np.int64)
        bin_ = np.rint(landmarks.bin).astype(np.int64) + _EDGE
        hit = np.zeros((self.frames, N_BINS + 2 * _EDGE), np.float32)
        for dt in (-1, 0, 1):
            for db in (-1, 0, 1):
                hit[np.clip(frame + dt, 0, self.frames - 1), bin_ + db] = 1
        # Half a hit more than seen: a frequency with none is rare, not impossible.
        share = (hit.sum(axis=0) + 0.5) / (self.frames + 1)
        self.weight = hit * -np.log(np.minimum(share, 1)).astype(np.float32)
        step = (self.frames - 2 * _CLEAR) / _WRONG
        lags = np.unique((_CLEAR + step * np.arange(_WRONG)).astype(np.int64))
        self.lags = np.concatenate([np.arange(-_NEAR, _NEAR + 1), lags])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What laying a track over a query has shown.

    Parameters
    ----------
    lag : int
        Frame of the track at the query's start, as corrected by the peaks.
    z : float
        Standard deviations above the wrong places.
    first, last : int
        Frames of the query between which the coincidences lie, half-open; frames as long as
        the track's.
    """

    lag: int
    z: float
    first: int
    last: int


def check(query: QueryMap, guess: Guess) -> Evidence:
    """Return the evidence for a guess."""
    start = int(guess.segment.starts[guess.track])
    length = int(guess.segment.frames[guess.track])
    first = start + max(guess.lag, 0)
    last = start + min(guess.lag + query.frames, length)
    if first >= last:
        return Evidence(guess.lag, 0.0, 0, 0)
    frame, bin_ = guess.segment.peaks(first, last)
    if not len(frame):
        return Evidence(guess.lag, 0.0, 0, 0)
    # Query frame of each peak for each lag: going round at the ends keeps their number equal.
    at = (frame - start - guess.lag)[None, :] - query.lags[:, None]
    score = query.weight[at % query.frames, bin_ + guess.shift + _EDGE]
    total = score.sum(axis=1)
    near, wrong = total[: 2 * _NEAR + 1], total[2 * _NEAR + 1 :]
    best = int(near.argmax())
    z = float((near[best] - wrong.mean()) / max(wrong.std(), 1.0))
    begin, end = _heard(score[best] - score[2 * _NEAR + 1 :].mean(axis=0))
    offset = start + guess.lag + int(query.lags[best])
    return Evidence(
        guess.lag + int(query.lags[best]),
        z,
        max(int(frame[begin]) - offset, 0),
        min(int(frame[end]) - offset + 1, query.frames),
    )


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
