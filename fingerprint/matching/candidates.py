"""Candidates: places of the index on which many pairs of a query agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis import hashes
from fingerprint.index.lookup import MAX_QUERY_POSTINGS, look_up
from fingerprint.index.segment import SPACE
from fingerprint.matching.warp import Warp
from fingerprint.matching.work import Work
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fingerprint.analysis.hashes import Pairs
    from fingerprint.index.segment import Segment

# A value further than this from the centre of its step may have been rounded the other way when
# the track was stored, so both steps are looked up.
_DOUBT = 0.4
# Under speech or noise a key is the track's less often if it was rounded the second nearest way,
# and if its peaks lie far apart, because peaks of the noise come between them. Natural logarithms.
_PER_DOUBT = 0.9
_PER_FRAME = 0.04
_PER_BIN = 0.03
# Candidates within this distance are the same.
_SAME_FRAMES = 3
_ANCHOR_BITS = np.uint32(2**hashes.BIN_BITS - 1)
# Share of the postings budget of a query that all warps of one tempo may use together in a search
# over many warps. In a large catalogue that means fewer and rarer keys.
_TEMPO_BUDGET = 0.1
MIN_VOTES = 3  # of a candidate
_FEW_VOTES = 5  # added to both sides of a lead: twice as many is little if they are few
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
    lead : float >= 1
        Votes of the best place relative to those of the next one, 1 for all others: where a few
        notes or a loop agree with a query, they do so at many places.
    """

    segment: Segment
    track: int
    lag: int
    votes: int
    warp: Warp
    lead: float = 1.0

    def at(self, samples: int) -> Candidate:
        """Return the candidate as seen from `samples` later in the query."""
        return replace(self, lag=self.lag + round(samples * self.warp.time_ratio / HOP))


def query_keys(
    query: Pairs, warp: Warp
) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.float32]]:
    """Return (keys, frames of the track, worth) to look up for a query.

    A value near the edge of a step gives a key for both steps, so a pair gives 1 to 8 keys, 1.7
    on average. The worth of a key is the chance, on some scale, that the track has it there.
    """
    shift, ratio = np.float32(warp.pitch_bins), np.float32(warp.time_ratio)
    index = np.arange(len(query.time))
    low, index, far = _both_steps(query.bin - shift, index)
    other, index2, far2 = _both_steps((query.other - shift)[index], np.arange(len(index)))
    low, index, doubts = low[index2], index[index2], far[index2] + far2
    frames, index3, far3 = _both_steps((query.frames * ratio)[index], np.arange(len(index)))
    low, other, index, doubts = low[index3], other[index3], index[index3], doubts[index3] + far3
    step = other - low
    fits = (low >= 0) & (low < 2**hashes.BIN_BITS) & (np.abs(step) <= hashes.MAX_STEP)
    fits &= (frames >= 1) & (frames <= hashes.MAX_FRAMES)
    keys = hashes.pack(low[fits], step[fits], frames[fits])
    time = np.rint(query.time[index[fits]] * ratio).astype(np.int32)
    loss = _PER_DOUBT * doubts + _PER_FRAME * frames + _PER_BIN * np.abs(step)
    worth = np.exp(-loss[fits]).astype(np.float32)
    order = np.argsort(keys)
    return keys[order], time[order], worth[order]


def find_candidates(
    segments: Sequence[Segment],
    query: Pairs,
    warps: Sequence[Warp],
    max_candidates: int,
    max_postings: int = MAX_QUERY_POSTINGS,
    work: Work | None = None,
) -> list[Candidate]:
    """Return the places of an index with most votes, best first.

    They depend on the tracks of the index, not on the segments that hold them.

    Parameters
    ----------
    segments : sequence of Segment
        The index.
    query : Pairs
        Pairs of the query, of at most 30 s.
    warps : sequence of Warp
        Warps to try. Those of one tempo follow each other, from the lowest up, and are whole bins
        apart.
    max_candidates : int > 0
        Candidates to return, of all warps together.
    max_postings : int > 0
        Postings to read. A search over many warps reads a tenth of them for each tempo.
    work : Work, optional
        Where what is done is counted.

    Raises
    ------
    ValueError
        The query is longer than the space between two tracks.
    """
    best: list[Candidate] = []
    work = work or Work()
    work.add_piece()
    share = 1.0 if len(warps) == 1 else _TEMPO_BUDGET
    for ratio, group in groupby(warps, key=lambda warp: warp.time_ratio):
        shifts = [warp.pitch_bins for warp in group]
        keys, time, worth = query_keys(query, Warp(ratio, shifts[0]))
        reach = int(time.max(initial=0))
        if reach > SPACE - 2 * _SAME_FRAMES:
            raise ValueError(f"a query of {reach} frames, at most {SPACE} are searched; cut it")
        # A shift by whole bins moves the anchor's bin, which the key has in its lowest bits.
        bins = np.array([round(shift - shifts[0]) for shift in shifts], np.uint32)[:, None]
        shifted = keys - bins
        shifted[(keys & _ANCHOR_BITS) < bins] = hashes.NO_KEY
        rows = np.arange(len(shifts) + 1) * len(keys)
        times, worths = np.tile(time, len(shifts)), np.tile(worth, len(shifts))
        budget = round(share * max_postings)
        work.add_look_up(keys=shifted.size, postings=0)
        for segment, which, count, place in look_up(segments, shifted.ravel(), worths, budget):
            work.add_look_up(keys=0, postings=len(place))
            ends = np.cumsum(count, dtype=np.int64)
            edges = np.concatenate([[0], ends])[np.searchsorted(which, rows)].tolist()
            place -= np.repeat(times[which], count)
            for row, shift in enumerate(shifts):
                lags = place[edges[row] : edges[row + 1]]
                lags.sort()
                floor = best[-1].votes if len(best) == max_candidates else MIN_VOTES
                warp = Warp(ratio, shift)
                best += _in_segment(segment, lags, reach, max_candidates, floor, warp)
                best.sort(key=_order)
                del best[max_candidates:]
    if best:
        # A place that is not among them has too few votes to be a candidate.
        following = best[1].votes if len(best) > 1 else MIN_VOTES
        lead = (best[0].votes + _FEW_VOTES) / (following + _FEW_VOTES)
        best[0] = replace(best[0], lead=lead)
    return best


def _order(candidate: Candidate) -> tuple[int, int, int]:
    """Return what candidates are sorted by: places with equal votes by track, not by segment."""
    return -candidate.votes, int(candidate.segment.tracks[candidate.track]), candidate.lag


def _in_segment(
    segment: Segment,
    lags: NDArray[np.int32],
    reach: int,
    max_candidates: int,
    min_votes: int,
    warp: Warp,
) -> list[Candidate]:
    """Return the best places of a segment with at least `min_votes` votes."""
    if len(lags) < min_votes:
        return []
    # A candidate rules out at most the lags within _SAME_FRAMES of it.
    value, votes = _densest(lags, (1 + 2 * _SAME_FRAMES) * max_candidates, min_votes)
    if not len(value):
        return []
    # A lag is at most the query's length before the first frame of its track.
    track = segment.track_at(value + (reach + _SAME_FRAMES))
    lag = value - segment.starts[track]
    number = segment.tracks[track]
    found: list[Candidate] = []
    for at in np.lexsort((lag, number, -votes)).tolist():
        row, place = int(track[at]), int(lag[at])
        if any(each.track == row and abs(each.lag - place) <= _SAME_FRAMES for each in found):
            continue
        found.append(Candidate(segment, row, place, int(votes[at]), warp))
        if len(found) == max_candidates:
            break
    return found


def _both_steps(
    value: NDArray[np.float32], index: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Round; where the result is in doubt, return the second nearest integer as well.

    Returns
    -------
    rounded, index : np.ndarray [shape=(n,)]
        Integers, and the index of each.
    second : np.ndarray [shape=(n,), int64]
        1 for those that are the second nearest, else 0.
    """
    near = np.rint(value)
    rest = value - near
    again = np.flatnonzero(np.abs(rest) > _DOUBT)
    far = near[again] + np.sign(rest[again])
    both = np.concatenate([near, far]).astype(np.int64)
    second = np.repeat(np.array([0, 1]), (len(near), len(far)))
    return both, np.concatenate([index, index[again]]), second


def _densest(
    lags: NDArray[np.int32], max_lags: int, min_votes: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the lags with most votes within +-1 frame, ascending, and their votes.

    Parameters
    ----------
    lags : np.ndarray [shape=(n,)], ascending
        The lag of every vote.
    max_lags : int > 0
        Number of lags to return, if there are as many; all that have as many votes as the last
        one are returned too.
    min_votes : int > 0
        Return only lags with at least this many votes.
    """
    # A lag with n votes begins a run of n votes that spans two steps at most. Searching for ever
    # longer runs until few are left is far cheaper than counting the votes of every lag.
    run = min_votes
    values = _run_starts(lags, run)
    if not len(values):
        return values, np.empty(0, np.int64)
    while len(values) > _MAX_COUNTED_LAGS:
        run *= 2
        fewer = _run_starts(lags, run)
        if len(fewer) < max_lags:
            break
        values = fewer
    values = np.unique(np.concatenate([values, values + 1]))
    first = np.searchsorted(lags, values - 1)
    votes = np.searchsorted(lags, values + 1, side="right") - first
    least = min_votes
    if len(votes) > max_lags:
        least = max(least, int(np.partition(votes, -max_lags)[-max_lags]))
    enough = votes >= least
    return values[enough], votes[enough]


def _run_starts(lags: NDArray[np.int32], run: int) -> NDArray[np.int32]:
    """Return the lags at which `run` votes within two steps begin."""
    if len(lags) < run:
        return lags[:0]
    close = lags[run - 1 :] - lags[: len(lags) - run + 1] <= 2
    starts = lags[: len(close)][close]
    if not len(starts):
        return starts
    return starts[np.diff(starts, prepend=starts[:1] - 1) > 0]
