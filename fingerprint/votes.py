"""Guesses: places of the index that many pairs of a query agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fingerprint import pairs
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.pairs import Pairs
    from fingerprint.segment import Segment

# A rounded value this far from the middle of its step may have been rounded the other way when
# the track was stored, so both are looked up.
_DOUBT = 0.28
# Guesses as near as this are one.
SAME_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Guess:
    """A place where the query may come from.

    Parameters
    ----------
    segment : Segment
        The segment of the index.
    track : int
        Which of the segment's tracks.
    lag : int
        Frame of that track at the query's start.
    votes : int
        Pairs that agree.
    shift : int
        Bins the query lies above the track.
    stretch : float
        Seconds of the track in a second of the query.
    """

    segment: Segment
    track: int
    lag: int
    votes: int
    shift: int = 0
    stretch: float = 1.0

    def at(self, samples: int) -> Guess:
        """Return the guess as seen from `samples` later in the query."""
        return replace(self, lag=self.lag + round(samples * self.stretch / HOP))

    def same_as(self, other: Guess) -> bool:
        """Return whether both say the same of the same track."""
        return (
            self.segment is other.segment
            and self.track == other.track
            and abs(self.lag - other.lag) <= SAME_FRAMES
            and self.shift == other.shift
            and self.stretch == other.stretch
        )


def keys_of(
    query: Pairs, shift: float = 0.0, stretch: float = 1.0, doubt: float = _DOUBT
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return (keys, frames) to look up for a query that is `shift` bins up and stretched.

    Values near the middle between two steps give a key for both, so a pair gives 1 to 8 keys,
    about 3.5 on average.
    """
    index = np.arange(len(query.time))
    low, index = _both(query.bin - np.float32(shift), index, doubt)
    other, index2 = _both((query.other - np.float32(shift))[index], np.arange(len(index)), doubt)
    low, index = low[index2], index[index2]
    frames, index3 = _both(
        (query.frames * np.float32(stretch))[index], np.arange(len(index)), doubt
    )
    low, other, index = low[index3], other[index3], index[index3]
    step = other - low
    fits = (low >= 0) & (low < 2**pairs.BIN_BITS) & (np.abs(step) <= pairs.MAX_STEP)
    fits &= (frames >= 1) & (frames <= pairs.MAX_FRAMES)
    keys = pairs.pack(low[fits], step[fits], frames[fits])
    time = np.rint(query.time[index[fits]] * np.float32(stretch)).astype(np.int64)
    order = np.argsort(keys)
    return keys[order], time[order]


def guesses(
    segment: Segment,
    keys: NDArray[np.uint32],
    time: NDArray[np.int64],
    most: int,
    shift: int = 0,
    stretch: float = 1.0,
) -> list[Guess]:
    """Return the places of a segment that got most votes, best first.

    Parameters
    ----------
    segment : Segment
        Where to look.
    keys, time : np.ndarray [shape=(n,)]
        What to look up, from :func:`keys_of`.
    most : int > 0
        Guesses to return at most.
    shift, stretch : int, float
        What the keys were made with; noted in the guesses.
    """
    which, place = segment.look_up(keys)
    if not len(place):
        return []
    lag = place - time[which]
    top = _densest(lag, 3 * most)
    found: list[Guess] = []
    for centre, votes in top:
        if any(
            abs(centre - other.lag - segment.starts[other.track]) <= SAME_FRAMES for other in found
        ):
            continue
        there = np.abs(lag - centre) <= 1
        tracks, counts = np.unique(segment.track_at(place[there]), return_counts=True)
        track = int(tracks[counts.argmax()])
        start = int(segment.starts[track])
        found.append(Guess(segment, track, centre - start, votes, shift, stretch))
        if len(found) == most:
            break
    return found


def _both(
    value: NDArray[np.float32], index: NDArray[np.intp], doubt: float
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Round; where that is in doubt, return the second nearest integer as well."""
    near = np.rint(value)
    rest = value - near
    again = np.flatnonzero(np.abs(rest) > doubt)
    far = near[again] + np.sign(rest[again])
    both = np.concatenate([near, far]).astype(np.int64)
    return both, np.concatenate([index, index[again]])


def _densest(lag: NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Return (lag, votes within +-1 frame) of the fullest places, best first."""
    ordered = np.sort(lag.astype(np.int32))
    edge = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    value = ordered[edge]
    count = np.diff(edge, append=len(ordered))
    total = count.copy()
    beside = np.flatnonzero(np.diff(value) == 1)
    total[beside] += count[beside + 1]
    total[beside + 1] += count[beside]
    take = min(most, len(total))
    best = np.argpartition(total, len(total) - take)[-take:]
    best = best[np.argsort(-total[best], kind="stable")]
    return [(int(value[i]), int(total[i])) for i in best if total[i] > 2]
