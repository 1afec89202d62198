"""Evidence for a guess over the pieces of a long query, added up to one score."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fingerprint.matching.false_alarm_rate import false_alarms
from fingerprint.matching.verification import Evidence, QueryMap, check, together
from fingerprint.matching.warp import NONE, Change, nearby
from fingerprint.settings import HOP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.candidates import Guess

# A guess at a changed speed or pitch whose first look shows this is looked at in finer steps.
_PROMISING = 3.5
# A piece that shows less than this speaks against the track being heard there; after two such
# pieces the track is over.
_WORTH = 2.5
# Guesses that agree within this many frames at one piece are one.
_SAME = 6
# A piece belongs to another case if that shows so many times as much there, for the same
# audio: the stretches heard share this part of the shorter one.
_DECISIVE = 2.0
_SAME_AUDIO = 0.4
# Maps of pieces that are held, about half a megabyte each.
_MAX_MAPS = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A guess with the evidence for it.

    Parameters
    ----------
    first, last : int
        The first and the last piece in which the track is heard.
    evidence : list of Evidence
        What each of these pieces shows.
    change : Change
        How the query is changed.
    score : float
        See :mod:`fingerprint.matching.false_alarm_rate`.
    """

    first: int
    last: int
    evidence: list[Evidence]
    change: Change
    score: float

    @property
    def strength(self) -> float:
        """The score if its pieces were independent: to compare cases for the same audio.

        How much the wrong places agree from piece to piece is another matter with each copy of
        a track, and must not decide between them.
        """
        z = sum(shown.z for shown in self.evidence) / math.sqrt(len(self.evidence))
        return false_alarms(z, changed=self.change != NONE)

    def share(self, index: int, piece: Landmarks) -> float:
        """Return the share of a piece in which the track is heard."""
        if not self.first <= index <= self.last:
            return 0.0
        heard = self.evidence[index - self.first]
        frames = (piece.end - piece.start) * self.change.speed / HOP
        return (heard.last - heard.first) / max(frames, 1)

    def without(self, others: Iterable[Case]) -> list[Case]:
        """Return what is left of the case when others take the pieces they explain better.

        Where a song is cut in two, its first half fits the second a little, as all music fits
        itself, and would run on into it.
        """
        parts: list[Case] = []
        run: list[Evidence] = []
        for index, shown in enumerate([*self.evidence, None], self.first):
            if shown is not None and not any(other._takes(index, shown, self) for other in others):
                run.append(shown)
            elif run:
                score = false_alarms(together(run), changed=self.change != NONE)
                parts.append(Case(index - len(run), index - 1, run, self.change, score))
                run = []
        return parts

    def _takes(self, index: int, shown: Evidence, case: Case) -> bool:
        """Return whether this case shows decisively more in a piece than `shown` of another."""
        if self is case or not self.first <= index <= self.last:
            return False
        mine = self.evidence[index - self.first]
        (a, b), (c, d) = _heard(mine, self.change), _heard(shown, case.change)
        common = min(b, d) - max(a, c)
        return mine.z > _DECISIVE * shown.z and common > _SAME_AUDIO * min(b - a, d - c)


class Weighing:
    """Checks guesses against the pieces of one query, each place once.

    Parameters
    ----------
    pieces : list of Landmarks
        The query, or the pieces of it in question, in order of time.
    """

    def __init__(self, pieces: list[Landmarks]) -> None:
        self._pieces = pieces
        self._maps: OrderedDict[tuple[int, Change], QueryMap] = OrderedDict()  # latest last
        self._seen: defaultdict[object, list[int]] = defaultdict(list)

    def weigh(self, guess: Guess, index: int) -> Case | None:
        """Return the case for a guess made from piece `index`; None when it was seen before."""
        if any(abs(guess.lag - lag) <= _SAME for lag in self._seen[self._place(guess, index)]):
            return None
        evidence = self._check(guess, index)
        change = guess.change
        if change != NONE and evidence.z > _PROMISING:
            guess, evidence = self._refine(guess, index, evidence)
        shown = {index: evidence}
        self._follow(guess, index, range(index + 1, len(self._pieces)), shown)
        self._follow(guess, index, range(index - 1, -1, -1), shown)
        for at, found in shown.items():
            self._seen[self._place(replace(guess, change=change), at)].append(found.lag)

        first, last = _best_run(shown)
        run = [shown[at] for at in range(first, last + 1)]
        score = false_alarms(together(run), changed=change != NONE)
        return Case(first, last, run, guess.change, score)

    def _follow(
        self, guess: Guess, index: int, pieces: Iterable[int], shown: dict[int, Evidence]
    ) -> None:
        """Check the pieces after or before `index`, as long as the track is heard in them.

        The place in the track is carried from piece to piece: a clock that runs off slowly
        is followed.
        """
        here, lag, missed = index, shown[index].lag, 0
        for other in pieces:
            samples = self._pieces[other].start - self._pieces[here].start
            expected = replace(guess, lag=lag).at(samples)
            shown[other] = self._check(expected, other)
            if shown[other].z > _WORTH:
                here, lag, missed = other, shown[other].lag, 0
            else:
                missed += 1
            if missed == 2:
                return

    def _check(self, guess: Guess, index: int) -> Evidence:
        key = (index, guess.change)
        found = self._maps.pop(key, None) or QueryMap(self._pieces[index], guess.change)
        self._maps[key] = found
        if len(self._maps) > _MAX_MAPS:
            self._maps.popitem(last=False)
        return check(found, guess)

    def _refine(self, guess: Guess, index: int, evidence: Evidence) -> tuple[Guess, Evidence]:
        """Return the finer step of speed or pitch that the peaks speak most for."""
        middle = (self._pieces[index].end - self._pieces[index].start) / 2 / HOP
        best, best_evidence = guess, evidence
        for change in nearby(guess.change):
            # Speed turns around the middle of the piece, where the votes agreed.
            lag = guess.lag + round(middle * (guess.change.speed - change.speed))
            finer = replace(guess, lag=lag, change=change)
            found = self._check(finer, index)
            if found.z > best_evidence.z:
                best, best_evidence = finer, found
        return best, best_evidence

    def _place(self, guess: Guess, index: int) -> object:
        return (index, guess.segment.path, guess.track, guess.change)


def _heard(evidence: Evidence, change: Change) -> tuple[float, float]:
    """Return the stretch of the piece in which evidence lies, in frames of the query."""
    return evidence.first / change.speed, evidence.last / change.speed


def _best_run(shown: dict[int, Evidence]) -> tuple[int, int]:
    """Return the first and the last of the pieces that together speak most for a guess."""
    best, run = float("-inf"), (0, 0)
    for first in shown:
        total = 0.0
        for last in range(first, max(shown) + 1):
            total += shown[last].z - _WORTH
            if total > best:
                best, run = total, (first, last)
    return run
