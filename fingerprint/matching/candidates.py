"""Guesses: places of the index that many pairs of a query agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.analysis.hashes import Pairs
    from fingerprint.index.segment import Segment
    from fingerprint.matching.warp import Change

# A rounded value this far from the middle of its step may have been rounded the other way when
# the track was stored, so both are looked up.
_DOUBT = 0.4
# Guesses as near as this are one.
_SAME_FRAMES = 3
# Of the postings that one question may read, a search among many changes uses this part for
# each: of a large catalogue, so much fewer and rarer keys.
_PART_OF_CHANGED = 0.2
# With no more lags than this to choose from, the best are found by counting the votes of each.
_ENOUGH = 500


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
    fits = (low >= 0) & (low < 2**hashes.BIN_BITS) & (np.abs(step) <= hashes.MAX_STEP)
    fits &= (frames >= 1) & (frames <= hashes.MAX_FRAMES)
    keys = hashes.pack(low[fits], step[fits], frames[fits])
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
    part = 1.0 if len(changes) == 1 else _PART_OF_CHANGED
    for change in changes:
        keys, time = keys_of(query, change)
        for segment in segments:
            least = best[-1].votes if len(best) == most else 2
            best += _guesses(segment, keys, time, most, least, change, part)
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
    part: float,
) -> list[Guess]:
    """Return up to `most` places of a segment that got more than `least` votes."""
    which, place = segment.look_up(keys, part)
    # Lag and place in one number: sorted by lag, and the place is still known.
    votes = np.empty(len(place), "<i8")
    halves = votes.view("<i4").reshape(-1, 2)
    halves[:, 0] = place
    np.subtract(place, time[which], out=halves[:, 1])
    votes.sort()
    lags = np.ascontiguousarray(halves[:, 1])
    found: list[Guess] = []
    taken: list[int] = []
    for centre, first, last in _densest(lags, 3 * most, least):
        if any(abs(centre - other) <= _SAME_FRAMES for other in taken):
            continue
        tracks = segment.track_at(halves[first:last, 0])
        lowest = int(tracks.min())
        track = lowest + int(np.bincount(tracks - lowest).argmax())
        taken.append(centre)
        lag = centre - int(segment.starts[track])
        found.append(Guess(segment, track, lag, last - first, change))
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


def _densest(lags: NDArray[np.int32], most: int, least: int) -> list[tuple[int, int, int]]:
    """Return the lags with most votes within +-1 frame, best first.

    Parameters
    ----------
    lags : np.ndarray [shape=(n,)], ascending
        The lag of every vote.
    most : int > 0
        About so many lags are wanted.
    least : int > 0
        Only those with more votes than this.

    Returns
    -------
    list of (int, int, int)
        A lag, and the first and the last (half-open) of its votes.
    """
    # A lag with n votes begins a run of n that spans two steps at most. Longer runs are asked
    # for until few are left: far cheaper than counting the votes of every lag.
    run = least + 1
    values = _begins(lags, run)
    while len(values) > _ENOUGH:
        run *= 2
        fewer = _begins(lags, run)
        if len(fewer) < most:
            break
        values = fewer
    values = np.unique(np.concatenate([values, values + 1]))
    first = np.searchsorted(lags, values - 1)
    last = np.searchsorted(lags, values + 1, side="right")
    best = np.argsort(first - last, kind="stable")[: 2 * most]
    found = zip(values[best].tolist(), first[best].tolist(), last[best].tolist(), strict=True)
    return [(value, a, b) for value, a, b in found if b - a > least]


def _begins(lags: NDArray[np.int32], run: int) -> NDArray[np.int32]:
    """Return the lags at which `run` votes begin that lie within two steps."""
    if len(lags) < run:
        return lags[:0]
    close = lags[run - 1 :] - lags[: len(lags) - run + 1] <= 2
    begins = lags[: len(close)][close]
    return begins[np.diff(begins, prepend=begins[:1] - 1) > 0]
