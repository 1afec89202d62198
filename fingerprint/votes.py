"""Guesses: places of the index that many pairs of a query agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fingerprint import pairs
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.change import Change
    from fingerprint.pairs import Pairs
    from fingerprint.segment import Segment

# A rounded value this far from the middle of its step may have been rounded the other way when
# the track was stored, so both are looked up.
_DOUBT = 0.4
# Guesses as near as this are one.
_SAME_FRAMES = 3


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
    change : Change
        How the query is changed.
    """

    segment: Segment
    track: int
    lag: int
    votes: int
    change: Change

    def at(self, samples: int) -> Guess:
        """Return the guess as seen from `samples` later in the query."""
        return replace(self, lag=self.lag + round(samples * self.change.speed / HOP))


def keys_of(query: Pairs, change: Change) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return (keys, frames of the track) to look up for a query.

    Values near the middle between two steps give a key for both, so a pair gives 1 to 8 keys,
    1.7 on average.
    """
    shift, speed = np.float32(change.shift), np.float32(change.speed)
    index = np.arange(len(query.time))
    low, index = _both(query.bin - shift, index)
    other, index2 = _both((query.other - shift)[index], np.arange(len(index)))
    low, index = low[index2], index[index2]
    frames, index3 = _both((query.frames * speed)[index], np.arange(len(index)))
    low, other, index = low[index3], other[index3], index[index3]
    step = other - low
    fits = (low >= 0) & (low < 2**pairs.BIN_BITS) & (np.abs(step) <= pairs.MAX_STEP)
    fits &= (frames >= 1) & (frames <= pairs.MAX_FRAMES)
    keys = pairs.pack(low[fits], step[fits], frames[fits])
    time = np.rint(query.time[index[fits]] * speed).astype(np.int32)
    order = np.argsort(keys)
    return keys[order], time[order]


def search(segments: list[Segment], query: Pairs, changes: list[Change], most: int) -> list[Guess]:
    """Return the places of an index that got most votes, best first.

    Parameters
    ----------
    segments : list of Segment
        The index.
    query : Pairs
        What to look for.
    changes : list of Change
        How the query may be changed.
    most : int > 0
        Guesses to return at most, of all changes together.
    """
    best: list[Guess] = []
    for change in changes:
        keys, time = keys_of(query, change)
        for segment in segments:
            least = best[-1].votes if len(best) == most else 2
            best += _guesses(segment, keys, time, most, least, change)
            best.sort(key=lambda guess: -guess.votes)
            del best[most:]
    return best


def _guesses(
    segment: Segment,
    keys: NDArray[np.uint32],
    time: NDArray[np.int32],
    most: int,
    least: int,
    change: Change,
) -> list[Guess]:
    """Return up to `most` places of a segment that got more than `least` votes."""
    which, place = segment.look_up(keys)
    if not len(place):
        return []
    lag = place - time[which]
    found: list[Guess] = []
    taken: list[int] = []
    for centre, votes in _densest(lag, 3 * most, least):
        if any(abs(centre - other) <= _SAME_FRAMES for other in taken):
            continue
        there = np.abs(lag - centre) <= 1
        tracks, counts = np.unique(segment.track_at(place[there]), return_counts=True)
        track = int(tracks[counts.argmax()])
        taken.append(centre)
        found.append(Guess(segment, track, centre - int(segment.starts[track]), votes, change))
        if len(found) == most:
            break
    return found


def _both(
    value: NDArray[np.float32], index: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Round; where that is in doubt, return the second nearest integer as well."""
    near = np.rint(value)
    rest = value - near
    again = np.flatnonzero(np.abs(rest) > _DOUBT)
    far = near[again] + np.sign(rest[again])
    both = np.concatenate([near, far]).astype(np.int64)
    return both, np.concatenate([index, index[again]])


def _densest(lag: NDArray[np.int32], most: int, least: int) -> list[tuple[int, int]]:
    """Return (lag, votes within +-1 frame) of the fullest places, best first."""
    ordered = np.sort(lag)
    edge = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    edge = np.concatenate([[0], edge, [len(ordered)]])
    value = ordered[edge[:-1]]
    count = edge[1:] - edge[:-1]
    total = count.copy()
    beside = np.flatnonzero(value[1:] - value[:-1] == 1)
    total[beside] += count[beside + 1]
    total[beside + 1] += count[beside]
    # What leaves at least `most` places, found by counting: far cheaper than sorting them all.
    below_top = int(np.searchsorted(np.cumsum(np.bincount(total)[::-1]), most))
    best = np.flatnonzero(total >= max(int(total.max()) - below_top, least + 1))
    best = best[np.argsort(-total[best], kind="stable")][: 2 * most]
    return [(int(value[i]), int(total[i])) for i in best]
