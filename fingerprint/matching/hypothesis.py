"""Hypotheses: a candidate followed over the pieces of a query, with a score.

The score is a false alarm rate. Wrong places are not Gaussian: music repeats itself, and drones
agree with drones. So the tail is measured: ``python -m bench.matching.hard --calibrate`` takes the
strongest candidate of every question of 30 s in hours of audio of hard kinds that is not in the
catalogue, and fits an exponential to the largest.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airsift.defaults import defaults
from fingerprint.matching.verification import QueryMap, Verification, combined_z, verify
from fingerprint.matching.warp import NO_WARP, Warp, finer_ratios, finer_shifts
from fingerprint.matching.work import Work
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.candidates import Candidate

# z at which one false match in an hour is expected, and the z that makes it ten times rarer:
# without a warp, and with one, because many warps are tried. Both lie between what was fitted to
# real music and to made rhythmic music, which docs/fingerprint.md states apart.
_UNWARPED = (5.6, 0.95)
_WARPED = (7.6, 1.15)
# Twice the votes of any other place are worth this z, and leads count up to `_MAX_LEAD`, as far as
# the track covers more than half of the piece: two seconds of a track lead too, and are no match.
_BONUS = 0.75
_MAX_LEAD = 4.0
# A warped candidate above this z is refined in finer steps.
_PROMISING_Z = 3.5
# A piece below this z speaks against the track; after two such pieces the track is over.
_MIN_Z = 2.5
# A piece at an end of a track counts from the first z on, and from the second on if its lag is
# within this many frames of where the track goes on; see `without_chance`.
_CERTAIN_Z = 4.5
_MIN_END_Z = 3.3
_MAX_AWAY = 1.5
# Candidates that agree within this many frames at one piece are the same.
_SAME_FRAMES = 6
# A piece goes to another hypothesis whose z there is this many times larger, for the same audio:
# the two spans share this part of the shorter one.
_DECISIVE = 2.0
_SAME_AUDIO = 0.4
# Cached query maps, about a megabyte each.
_MAX_MAPS = 100


def _default_threshold() -> float:
    section = defaults()["identify"]
    assert isinstance(section, dict)
    threshold = section["threshold"]
    assert isinstance(threshold, float)
    return threshold


# Minimum score of a match, as configs/default.toml has it.
THRESHOLD = _default_threshold()


def false_alarm_score(z: float, *, warped: bool) -> float:
    """Return minus log10 of the false matches expected in an hour.

    Parameters
    ----------
    z : float
        Standard deviations by which the pieces of a query together support a track.
    warped : bool
        Whether the track was searched over many warps, each of which may be wrong.
    """
    one_an_hour, per_decade = _WARPED if warped else _UNWARPED
    return (z - one_an_hour) / per_decade


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A track in consecutive pieces of a query.

    Parameters
    ----------
    first, last : int
        The first and the last piece with the track.
    verifications : list of Verification
        One for each of these pieces.
    source : Candidate
        The track, and how the query differs from it.
    z : float
        Standard deviations by which all pieces together support the track, and its lead in votes.
    score : float
        See `false_alarm_score`.
    """

    first: int
    last: int
    verifications: list[Verification]
    source: Candidate
    z: float
    score: float

    @property
    def warp(self) -> Warp:
        """How the query differs from the track."""
        return self.source.warp

    @property
    def independent_score(self) -> float:
        """The score as if pieces were independent: it ranks hypotheses for the same audio.

        How far wrong lags agree from piece to piece differs between copies of a track, and
        must not decide between them.
        """
        z = sum(each.z for each in self.verifications) / math.sqrt(len(self.verifications))
        return false_alarm_score(z, warped=self.warp != NO_WARP)

    def coverage(self, index: int, piece: Landmarks) -> float:
        """Return the part of a piece that the track covers, 0 to 1."""
        if not self.first <= index <= self.last:
            return 0.0
        found = self.verifications[index - self.first]
        frames = (piece.end - piece.start) * self.warp.time_ratio / HOP
        return (found.last - found.first) / max(frames, 1)

    def overlaps(self, other: Hypothesis) -> bool:
        """Return whether two hypotheses have a piece in common."""
        return self.first <= other.last and other.first <= self.last

    def strength(self, other: Hypothesis) -> float:
        """Return how much supports this in the pieces of `other`, relative to `other`."""
        mine = sum(
            found.z
            for index, found in enumerate(self.verifications, self.first)
            if other.first <= index <= other.last
        )
        return max(mine, 0.0) / max(sum(found.z for found in other.verifications), 1e-9)

    def without(self, others: Iterable[Hypothesis]) -> list[Hypothesis]:
        """Return the rest of the hypothesis once others take the pieces they explain better.

        Where a song is cut in two, its first half fits the second a little, as all music fits
        itself, and would extend into it.
        """
        parts: list[Hypothesis] = []
        run: list[Verification] = []
        for index, found in enumerate([*self.verifications, None], self.first):
            if found is not None and not any(other._takes(index, found, self) for other in others):
                run.append(found)
            elif run:
                parts.append(_hypothesis(index - len(run), run, self.source))
                run = []
        return parts

    def _takes(self, index: int, found: Verification, other: Hypothesis) -> bool:
        """Return whether this hypothesis explains a piece decisively better than `other`."""
        if self is other or not self.first <= index <= self.last:
            return False
        mine = self.verifications[index - self.first]
        (a, b), (c, d) = _query_span(mine, self.warp), _query_span(found, other.warp)
        common = min(b, d) - max(a, c)
        return mine.z > _DECISIVE * found.z and common > _SAME_AUDIO * min(b - a, d - c)


class Scorer:
    """Verifies candidates against the pieces of one query, each place once.

    Parameters
    ----------
    pieces : list of Landmarks
        Pieces of the query, in order of time.
    work : Work, optional
        Where what is done is counted.
    """

    def __init__(self, pieces: list[Landmarks], work: Work | None = None) -> None:
        self.pieces = pieces
        self._work = work or Work()
        self._maps: OrderedDict[tuple[int, Warp], QueryMap] = OrderedDict()  # latest last
        self._seen: defaultdict[object, list[int]] = defaultdict(list)

    def score(self, candidate: Candidate, index: int) -> Hypothesis | None:
        """Return the hypothesis for a candidate of piece `index`; None if scored before."""
        warp = candidate.warp
        lags = self._seen[self._place(candidate, index)]
        if any(abs(candidate.lag - lag) <= _SAME_FRAMES for lag in lags):
            return None
        found = self._verify(candidate, index)
        if warp != NO_WARP and found.z > _PROMISING_Z:
            candidate, found = self._refine(candidate, index, found)
        candidate = replace(candidate, lead=self._counted_lead(candidate, index, found))
        verified = {index: found}
        # A place that speaks against its track already is followed nowhere: where the track plays
        # in another piece, that piece has the candidate.
        if found.z > _MIN_Z:
            self._follow(candidate, index, range(index + 1, len(self.pieces)), verified)
            self._follow(candidate, index, range(index - 1, -1, -1), verified)
        for at, each in verified.items():
            self._seen[self._place(replace(candidate, warp=warp), at)].append(each.lag)
        first, last = _best_run(verified)
        run = [verified[at] for at in range(first, last + 1)]
        frames = candidate.warp.time_ratio / HOP
        starts = [self.pieces[at].start * frames for at in range(first, last + 1)]
        begin, end = without_chance(run, starts)
        return _hypothesis(first + begin, run[begin:end], candidate)

    def _follow(
        self,
        candidate: Candidate,
        index: int,
        pieces: Iterable[int],
        verified: dict[int, Verification],
    ) -> None:
        """Verify the pieces after or before `index`, until the track is over.

        The lag is carried from piece to piece, so a clock that drifts slowly is followed.
        """
        here, lag, missed = index, verified[index].lag, 0
        for other in pieces:
            samples = self.pieces[other].start - self.pieces[here].start
            expected = replace(candidate, lag=lag).at(samples)
            verified[other] = self._verify(expected, other)
            if verified[other].z > _MIN_Z:
                here, lag, missed = other, verified[other].lag, 0
            else:
                missed += 1
            if missed == 2:
                return

    def _counted_lead(self, candidate: Candidate, index: int, found: Verification) -> float:
        """Return the lead in votes, smaller the less of the piece the track covers.

        Votes are evidence of their own: a wrong place that agrees with the query's beat, notes or
        sounds has no more of them than its repeats have.
        """
        covered = (found.last - found.first) / self.query_map(index, candidate.warp).frames
        return float(min(candidate.lead, _MAX_LEAD) ** max(2 * covered - 1, 0))

    def query_map(self, index: int, warp: Warp) -> QueryMap:
        """Return the map of piece `index` under a warp."""
        key = (index, warp)
        found = self._maps.pop(key, None)
        if found is None:
            self._work.add_map()
            found = QueryMap(self.pieces[index], warp)
        self._maps[key] = found
        if len(self._maps) > _MAX_MAPS:
            self._maps.popitem(last=False)
        return found

    def _verify(self, candidate: Candidate, index: int) -> Verification:
        self._work.add_verification()
        return verify(self.query_map(index, candidate.warp), candidate)

    def _refine(
        self, candidate: Candidate, index: int, found: Verification
    ) -> tuple[Candidate, Verification]:
        """Return the finer step of tempo, and then of pitch, with the largest gain."""
        middle = (self.pieces[index].end - self.pieces[index].start) / 2 / HOP
        best, best_found = candidate, found
        for finer_steps in (finer_ratios, finer_shifts):
            coarse = best
            for warp in finer_steps(coarse.warp):
                # Time is warped around the middle of the piece, where the votes agreed.
                turn = round(middle * (coarse.warp.time_ratio - warp.time_ratio))
                finer = replace(coarse, lag=coarse.lag + turn, warp=warp)
                found = self._verify(finer, index)
                if found.gain > best_found.gain:
                    best, best_found = finer, found
        return best, best_found

    def _place(self, candidate: Candidate, index: int) -> object:
        return (index, candidate.segment.path, candidate.track, candidate.warp)


def _hypothesis(first: int, run: list[Verification], source: Candidate) -> Hypothesis:
    z = combined_z(run) + _BONUS * math.log2(source.lead)
    score = false_alarm_score(z, warped=source.warp != NO_WARP)
    return Hypothesis(first, first + len(run) - 1, run, source, z, score)


def _query_span(found: Verification, warp: Warp) -> tuple[float, float]:
    """Return where in the piece the coincidences lie, in frames of the query."""
    return found.first / warp.time_ratio, found.last / warp.time_ratio


def without_chance(run: Sequence[Verification], starts: Sequence[float]) -> tuple[int, int]:
    """Return which pieces of a run are left without those at its ends that fit by chance.

    Where the track is over, talk and other music fit best at any of several lags. A piece at an end
    counts if it is certain by itself, or fits at the lag at which the track goes on.

    Parameters
    ----------
    run : sequence of Verification
        One for each piece, in order of time.
    starts : sequence of float
        Where each piece begins, in frames of the track from any zero.

    Returns
    -------
    first, end : int
        Half-open; one piece or more.
    """

    def counts(here: int, beside: int) -> bool:
        found = run[here]
        away = found.lag - run[beside].lag - (starts[here] - starts[beside])
        return found.z >= _CERTAIN_Z or (found.z >= _MIN_END_Z and abs(away) < _MAX_AWAY)

    first, last = 0, len(run) - 1
    while last > first and not counts(last, last - 1):
        last -= 1
    while last > first and not counts(first, first + 1):
        first += 1
    return first, last + 1


def _best_run(verified: dict[int, Verification]) -> tuple[int, int]:
    """Return the first and the last of the pieces that together support a candidate most."""
    best, run = float("-inf"), (0, 0)
    for first in verified:
        total = 0.0
        for last in range(first, max(verified) + 1):
            total += verified[last].z - _MIN_Z
            if total > best:
                best, run = total, (first, last)
    return run
