"""Whether what a query shares with a track is the track's own, or a loop that both were made of.

Producers build different pieces of the same loops: a bar of drums under another tune is shared
audio, and matches at every bar. So the track's peaks at the place are divided into those that
repeat elsewhere in the track at the same distance, which is the loop, and the others, which only
this place has. If the track itself plays, both are in the query, in proportion, whatever noise
covers it. If only the repeating ones are there, clearly below proportion, the query shares the
loop and is another piece. A track that is nothing but its loop has no other peaks, and is named.

Upon the beat of a loop a peak is found far more often by chance than elsewhere. So what the track's
own peaks gain is counted above what they have one or more loops earlier and later in the query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import N_BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.matching.hypothesis import Hypothesis, Scorer
    from fingerprint.matching.verification import QueryMap

# Repeats are sought this far around the place, and not nearer than the notes of the place reach.
_REACH = 1000  # frames, 16 s: four bars of slow music on both sides
_NEAREST = 60
_STEP = 3  # a peak blurs into the frames beside it
_REPEATS = 8
_APART = 30  # frames between two repeats
_MAX_PIECES = 3  # counted, those with the largest z
# The track's own peaks are missing if they are found less than this part as often as repeating
# ones, both above chance, by this many standard deviations. Fitted to questions of 30 s with other
# pieces over a loop of a track, of which 14 of 21 are told as such, and to 618 queries of own music
# in noise, speech and rooms, 259 of them loop-based, of which two are lost.
_PROPORTION = 0.5
_DEVIATIONS = 2.5


@dataclass(slots=True)
class _Count:
    """Peaks of a track: all, those found in the query, and those that chance finds."""

    peaks: int = 0
    found: int = 0
    by_chance: float = 0.0

    def add(self, found: NDArray[np.bool_], chance: NDArray[np.float64]) -> None:
        self.peaks += len(found)
        self.found += int(found.sum())
        self.by_chance += float(chance.sum())

    def share(self, count: float) -> float:
        return count / max(self.peaks, 1)


def is_own(hypothesis: Hypothesis, scorer: Scorer) -> bool:
    """Return whether a query contains the track, and not only a loop of it.

    Parameters
    ----------
    hypothesis : Hypothesis
        A track in pieces of the query.
    scorer : Scorer
        The scorer of the query.
    """
    own, repeating = _Count(), _Count()
    indices = range(hypothesis.first, hypothesis.last + 1)
    by_z = sorted(indices, key=lambda at: -hypothesis.verifications[at - hypothesis.first].z)
    for index in by_z[:_MAX_PIECES]:
        _count(hypothesis, index, scorer, own, repeating)
    if not own.peaks or not repeating.peaks:
        return True
    chance = own.share(own.by_chance)
    gain = repeating.share(repeating.found) - repeating.share(repeating.by_chance)
    expected = min(max(chance + _PROPORTION * gain, 0.0), 1.0)
    spread = math.sqrt(own.peaks * expected * (1 - expected))
    return own.peaks * expected - own.found <= _DEVIATIONS * spread


def _count(
    hypothesis: Hypothesis, index: int, scorer: Scorer, own: _Count, repeating: _Count
) -> None:
    """Add the peaks of one piece to both counts."""
    found = hypothesis.verifications[index - hypothesis.first]
    segment, track = hypothesis.source.segment, hypothesis.source.track
    start, length = int(segment.starts[track]), int(segment.frames[track])
    query = scorer.query_map(index, hypothesis.warp)
    low = max(found.lag - _REACH, 0)
    high = min(found.lag + query.frames + _REACH, length)
    if low >= high or found.first >= found.last:
        return
    frame, bin_ = segment.peaks(start + low, start + high)
    frame = frame - start
    here = (frame >= found.lag + found.first) & (frame < found.lag + found.last)
    time, bins = np.clip(frame[here] - found.lag, 0, query.frames - 1), bin_[here]
    hit = query.hits(time, bins)
    track_map = _TrackMap(frame, bin_)
    loops = track_map.repeats(frame[here][hit], bins[hit])
    again = track_map.has(frame[here], bins, loops)
    own.add(hit[~again], _chance_upon_the_beat(query, time, bins, loops)[~again])
    repeating.add(hit[again], query.chance(bins)[again])


def _chance_upon_the_beat(
    query: QueryMap, time: NDArray[np.int64], bins: NDArray[np.int64], loops: list[int]
) -> NDArray[np.float64]:
    """Return the share of lags by whole loops at which peaks coincide with the query's.

    Where none of them lies in the query, it is the share of all lags.
    """
    moved = time + np.array(loops, np.int64)[:, None]
    inside = (moved >= 0) & (moved < query.frames)
    hit = query.hits(np.clip(moved, 0, query.frames - 1), bins) & inside
    lags = inside.sum(axis=0)
    return np.where(lags, hit.sum(axis=0) / np.maximum(lags, 1), query.chance(bins))


class _TrackMap:
    """The cells within one frame and one bin of a track's peaks."""

    def __init__(self, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> None:
        self._first = int(frame.min()) - _REACH - 1
        self._width = N_BINS + 2
        cells = np.zeros((int(frame.max()) + _REACH + 2 - self._first, self._width), bool)
        for earlier in (-1, 0, 1):
            for lower in (-1, 0, 1):
                cells[frame - self._first + earlier, bin_ + 1 + lower] = True
        self._cells = cells.ravel()

    def repeats(self, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> list[int]:
        """Return the distances at which most of some peaks come again."""
        away = np.arange(_NEAREST, _REACH + 1, _STEP)
        distances = np.concatenate([-away[::-1], away])
        cells = self._cell(frame, bin_) + distances[:, None] * self._width
        count = self._cells.take(cells).sum(axis=1)
        found: list[int] = []
        for distance in distances[np.argsort(-count, kind="stable")].tolist():
            if all(abs(distance - other) > _APART for other in found):
                found.append(distance)
                if len(found) == _REPEATS:
                    break
        return found

    def has(
        self, frame: NDArray[np.int64], bin_: NDArray[np.int64], distances: list[int]
    ) -> NDArray[np.bool_]:
        """Return which peaks come again at one of the distances."""
        cells = self._cell(frame, bin_) + np.array(distances, np.int64)[:, None] * self._width
        again: NDArray[np.bool_] = np.logical_or.reduce(self._cells.take(cells), axis=0)
        return again

    def _cell(self, frame: NDArray[np.int64], bin_: NDArray[np.int64]) -> NDArray[np.int64]:
        return (frame - self._first) * self._width + bin_ + 1
