"""Candidates: places of the index on which many pairs of a query agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.matching.warp import Warp
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.analysis.hashes import Pairs
    from fingerprint.index.segment import Segment

# A value further than this from the centre of its step may have been rounded the other way when
# the track was stored, so both steps are looked up.
_DOUBT = 0.4
# Candidates within this distance are the same.
_SAME_FRAMES = 3
_ANCHOR_BITS = np.uint32(2**hashes.BIN_BITS - 1)
# Share of the postings budget of a query that all warps of one tempo may use together in a search
# over many warps. In a large catalogue that means fewer and rarer keys.
_TEMPO_BUDGET = 0.2
# Up to this number of lags, counting the votes of each is cheapest.
_MAX_COUNTED_LAGS = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place from which the query may come.

    Parameters
    ----------
    segment : Segment
        The segment of the index.
    track : int
        Row of the track in the segment.
    lag : int
        Frame of that track at the query's start.
    votes : int
        Pairs that agree.
    warp : Warp
        How the query differs from the track.
    """

    segment: Segment
    track: int
    lag: int
    votes: int
    warp: Warp

    def at(self, samples: int) -> Candidate:
        """Return the candidate as seen from `samples` later in the query."""
        return replace(self, lag=self.lag + round(samples * self.warp.time_ratio / HOP))


def query_keys(query: Pairs, warp: Warp) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return (keys, frames of the track) to look up for a query.

    A value near the edge of a step gives a key for both steps, so a pair gives 1 to 8 keys, 1.7
    on average.
    """
    shift, ratio = np.float32(warp.pitch_bins), np.float32(warp.time_ratio)
    index = np.arange(len(query.time))
    low, index = _both_steps(query.bin - shift, index)
    other, index2 = _both_steps((query.other - shift)[index], np.arange(len(index)))
    low, index = low[index2], index[index2]
    frames, index3 = _both_steps((query.frames * ratio)[index], np.arange(len(index)))
    low, other, index = low[index3], other[index3], index[index3]
    step = other - low
    fits = (low >= 0) & (low < 2**hashes.BIN_BITS) & (np.abs(step) <= hashes.MAX_STEP)
    fits &= (frames >= 1) & (frames <= hashes.MAX_FRAMES)
    keys = hashes.pack(low[fits], step[fits], frames[fits])
    time = np.rint(query.time[index[fits]] * ratio).astype(np.int32)
    order = np.argsort(keys)
    return keys[order], time[order]


def find_candidates(
    segments: list[Segment], query: Pairs, warps: list[Warp], max_candidates: int
) -> list[Candidate]:
    """Return the places of an index with most votes, best first.

    Parameters
    ----------
    segments : list of Segment
        The index.
    query : Pairs
        Pairs of the query.
    warps : list of Warp
        Warps to try. Those of one tempo follow each other, from the lowest up, and are whole bins
        apart.
    max_candidates : int > 0
        Candidates to return, of all warps together.
    """
    best: list[Candidate] = []
    for ratio, group in groupby(warps, key=lambda warp: warp.time_ratio):
        shifts = [warp.pitch_bins for warp in group]
        budget = 1.0 if len(shifts) == len(warps) == 1 else _TEMPO_BUDGET
        keys, time = query_keys(query, Warp(ratio, shifts[0]))
        # A shift by whole bins moves the anchor's bin, which the key has in its lowest bits.
        bins = np.array([round(shift - shifts[0]) for shift in shifts], np.uint32)[:, None]
        shifted = keys - bins
        shifted[(keys & _ANCHOR_BITS) < bins] = hashes.NO_KEY
        for segment in segments:
            which, place = segment.look_up(shifted.ravel(), budget)
            edges = np.searchsorted(which, np.arange(len(shifts) + 1) * len(keys))
            for row, shift in enumerate(shifts):
                some = slice(edges[row], edges[row + 1])
                lag = place[some] - time[which[some] - row * len(keys)]
                to_beat = best[-1].votes if len(best) == max_candidates else 2
                warp = Warp(ratio, shift)
                best += _in_segment(segment, place[some], lag, max_candidates, to_beat, warp)
                best.sort(key=lambda candidate: -candidate.votes)
                del best[max_candidates:]
    return best


def _in_segment(
    segment: Segment,
    place: NDArray[np.int32],
    lag: NDArray[np.int32],
    max_candidates: int,
    to_beat: int,
    warp: Warp,
) -> list[Candidate]:
    """Return up to `max_candidates` places of a segment with more than `to_beat` votes."""
    if len(lag) <= to_beat:
        return []
    # Lag and place in one number: sorting by lag keeps the place.
    votes = np.empty(len(place), "<i8")
    halves = votes.view("<i4").reshape(-1, 2)
    halves[:, 0] = place
    halves[:, 1] = lag
    votes.sort()
    lags = np.ascontiguousarray(halves[:, 1])
    found: list[Candidate] = []
    taken: list[int] = []
    for centre, first, last in _densest(lags, 3 * max_candidates, to_beat):
        if any(abs(centre - other) <= _SAME_FRAMES for other in taken):
            continue
        tracks = segment.track_at(halves[first:last, 0])
        lowest = int(tracks.min())
        track = lowest + int(np.bincount(tracks - lowest).argmax())
        taken.append(centre)
        lag_in_track = centre - int(segment.starts[track])
        found.append(Candidate(segment, track, lag_in_track, last - first, warp))
        if len(found) == max_candidates:
            break
    return found


def _both_steps(
    value: NDArray[np.float32], index: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Round; where the result is in doubt, return the second nearest integer as well."""
    near = np.rint(value)
    rest = value - near
    again = np.flatnonzero(np.abs(rest) > _DOUBT)
    far = near[again] + np.sign(rest[again])
    both = np.concatenate([near, far]).astype(np.int64)
    return both, np.concatenate([index, index[again]])


def _densest(lags: NDArray[np.int32], max_lags: int, to_beat: int) -> list[tuple[int, int, int]]:
    """Return the lags with most votes within +-1 frame, best first.

    Parameters
    ----------
    lags : np.ndarray [shape=(n,)], ascending
        The lag of every vote.
    max_lags : int > 0
        Approximate number of lags to return.
    to_beat : int > 0
        Return only lags with more votes than this.

    Returns
    -------
    list of (int, int, int)
        A lag, and the first and the last (half-open) of its votes.
    """
    # A lag with n votes begins a run of n votes that spans two steps at most. Searching for ever
    # longer runs until few are left is far cheaper than counting the votes of every lag.
    run = to_beat + 1
    values = _run_starts(lags, run)
    while len(values) > _MAX_COUNTED_LAGS:
        run *= 2
        fewer = _run_starts(lags, run)
        if len(fewer) < max_lags:
            break
        values = fewer
    values = np.unique(np.concatenate([values, values + 1]))
    first = np.searchsorted(lags, values - 1)
    last = np.searchsorted(lags, values + 1, side="right")
    best = np.argsort(first - last, kind="stable")[: 2 * max_lags]
    found = zip(values[best].tolist(), first[best].tolist(), last[best].tolist(), strict=True)
    return [(value, a, b) for value, a, b in found if b - a > to_beat]


def _run_starts(lags: NDArray[np.int32], run: int) -> NDArray[np.int32]:
    """Return the lags at which `run` votes within two steps begin."""
    if len(lags) < run:
        return lags[:0]
    close = lags[run - 1 :] - lags[: len(lags) - run + 1] <= 2
    starts = lags[: len(close)][close]
    return starts[np.diff(starts, prepend=starts[:1] - 1) > 0]
