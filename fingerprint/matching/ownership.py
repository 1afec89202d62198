"""Whether what a query shares with a track is the track's own, or a loop that both were made of.

Producers build different pieces of the same loops: a bar of drums under another tune is shared
audio, and matches at every bar. So the track's peaks at the place are divided into those that
repeat elsewhere in the track at the same distance, which is the loop, and the others, which only
this place has. If the track itself plays, both are in the query, in proportion, whatever noise
covers it. If only the repeating ones are there, clearly below proportion, the query shares the
loop and is another piece. A track that is nothing but its loop has no other peaks, and is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.matching.verification import QueryMap
from fingerprint.settings import N_BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.hypothesis import Hypothesis

# Repeats are sought this far around the place, and not nearer than the notes of the place reach.
_REACH = 1000  # frames, 16 s: four bars of slow music on both sides
_NEAREST = 60
_STEP = 2
_REPEATS = 8
_APART = 30  # frames between two repeats
# The track's own peaks are missing if they are found less than this part as often as repeating
# ones, both above chance, by this many standard deviations. Own music in strong noise has less
# than 3 in 244 of 245 queries.
_PROPORTION = 0.4
_DEVIATIONS = 3.0


@dataclass(slots=True)
class _Count:
    """Peaks of a track: all, those found in the query, and those that chance finds."""

    peaks: int = 0
    found: int = 0
    by_chance: float = 0.0

    def add(self, found: NDArray[np.bool_], at_wrong_places: NDArray[np.bool_]) -> None:
        self.peaks += len(found)
        self.found += int(found.sum())
        self.by_chance += float(at_wrong_places.sum()) / max(len(at_wrong_places), 1)

    def share(self, count: float) -> float:
        return count / max(self.peaks, 1)


def is_own(hypothesis: Hypothesis, pieces: list[Landmarks]) -> bool:
    """Return whether a query contains the track, and not only a loop of it.

    Parameters
    ----------
    hypothesis : Hypothesis
        A track in pieces of the query.
    pieces : list of Landmarks
        All pieces of the query.
    """
    own, repeating = _Count(), _Count()
    for index in range(hypothesis.first, hypothesis.last + 1):
        _count(hypothesis, index, pieces[index], own, repeating)
    if not own.peaks or not repeating.peaks:
        return True
    chance = own.share(own.by_chance)
    gain = repeating.share(repeating.found) - repeating.share(repeating.by_chance)
    expected = min(max(chance + _PROPORTION * gain, 0.0), 1.0)
    spread = math.sqrt(own.peaks * expected * (1 - expected))
    return own.peaks * expected - own.found <= _DEVIATIONS * spread


def _count(
    hypothesis: Hypothesis, index: int, piece: Landmarks, own: _Count, repeating: _Count
) -> None:
    """Add the peaks of one piece to both counts."""
    found = hypothesis.verifications[index - hypothesis.first]
    segment, track = hypothesis.source.segment, hypothesis.source.track
    start, length = int(segment.starts[track]), int(segment.frames[track])
    query = QueryMap(piece, hypothesis.warp)
    low = max(found.lag - _REACH, 0)
    high = min(found.lag + query.frames + _REACH, length)
    if low >= high:
        return
    frame, bin_ = segment.peaks(start + low, start + high)
    frame = frame - start
    here = (frame >= found.lag + found.first) & (frame < found.lag + found.last)
    time = np.clip(frame[here] - found.lag, 0, query.frames - 1)
    bins = bin_[here]
    again = _is_repeated(frame, bin_, here, _repeats(query, frame, bin_, found.lag))
    hit = query.at(time, bins, np.zeros(1, np.int64))[0] > 0
    # One lag a wrong place: the own lag of the candidate is fixed by the other peaks.
    wrong = query.at(time, bins, query.wrong_lags) > 0
    own.add(hit[~again], wrong[:, ~again])
    repeating.add(hit[again], wrong[:, again])


def _repeats(
    query: QueryMap, frame: NDArray[np.int64], bin_: NDArray[np.int64], lag: int
) -> list[int]:
    """Return the distances at which the track repeats best what the query has of it."""
    away = np.arange(_NEAREST, _REACH + 1, _STEP)
    distances = np.concatenate([-away[::-1], away])
    weights = np.array([query.sum_at(frame - lag - int(d), bin_) for d in distances])
    found: list[int] = []
    for distance in distances[np.argsort(-weights)].tolist():
        if all(abs(distance - other) > _APART for other in found):
            found.append(distance)
            if len(found) == _REPEATS:
                break
    return found


def _is_repeated(
    frame: NDArray[np.int64],
    bin_: NDArray[np.int64],
    here: NDArray[np.bool_],
    distances: list[int],
) -> NDArray[np.bool_]:
    """Return which peaks here the track has again at one of the distances, to one frame and bin."""
    first = int(frame.min()) - _REACH - 1
    peaks = np.zeros((int(frame.max()) + _REACH + 2 - first, N_BINS + 2), bool)
    for earlier in (-1, 0, 1):
        for lower in (-1, 0, 1):
            peaks[frame - first + earlier, bin_ + 1 + lower] = True
    again = np.zeros(int(here.sum()), bool)
    for distance in distances:
        again |= peaks[frame[here] + distance - first, bin_[here] + 1]
    return again
