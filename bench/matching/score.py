"""Scores of the answers: right track and position, repeat, or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.matching.matchers import Answer, QueryResult
from bench.matching.music import RATE, load
from bench.matching.queries import Queries
from fingerprint.analysis.spectrum import log_spectrum

_EXACT_S = 0.1
# What an answer may be, the best first.
_KINDS = ("placed", "repeats", "displaced", "wrong")
_WRONG = _KINDS.index("wrong")


@dataclass(frozen=True)
class Figures:
    """Number of queries by result, for one matcher and condition.

    `placed` and `displaced`: right track, at the right or at a wrong position. `repeats`: another
    position with the same sound, in this track or another. A query of several tracks is found if
    all of them are.
    """

    n: int
    found: int
    placed: int
    displaced: int
    repeats: int
    wrong: int
    cpu_ms: float

    @property
    def found_percent(self) -> float:
        return 100 * self.found / self.n

    @property
    def place_percent(self) -> float:
        """Share of right positions, without repeats."""
        return 100 * self.placed / max(self.placed + self.displaced, 1)


def score(
    queries: Queries, answers: Sequence[QueryResult], threshold: float, tracks: Tracks
) -> Figures:
    """Count the answers with a score above a threshold by result."""
    counts = dict.fromkeys(_KINDS, 0)
    found = 0
    for places, answered in zip(queries.truth, answers, strict=True):
        given = [answer for answer in answered["answers"] if answer[2] > threshold]
        kinds = np.array(
            [
                [_KINDS.index(tracks.kind(answer, *place, queries.seconds)) for place in places]
                for answer in given
            ]
        ).reshape(len(given), len(places))
        # Of several answers the best one for each track, and of several tracks the worst.
        worst = int(kinds.min(axis=0, initial=_WRONG).max())
        found += worst != _WRONG
        counts["wrong"] += bool((kinds.min(axis=1, initial=_WRONG) == _WRONG).any())
        if worst != _WRONG:
            counts[_KINDS[worst]] += 1
    cpu_ms = 1000 * float(np.median([answered["cpu_s"] for answered in answers]))
    return Figures(len(answers), found, cpu_ms=cpu_ms, **counts)


class Tracks:
    """The audio of the catalogue, to compare two positions."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = {path.stem: path for path in paths}
        self._known: dict[tuple[object, ...], bool] = {}

    def kind(self, answer: Answer, key: str, truth: int, seconds: int) -> str:
        track, place, _ = answer
        if track == key and abs(place - truth) <= _EXACT_S * RATE:
            return "placed"
        at = (track, place // 1600, key, truth, seconds)
        if at not in self._known:
            one, other = load(self._paths[track]), load(self._paths[key])
            self._known[at] = _same_sound(one, place, other, truth, seconds)
        if self._known[at]:
            return "repeats"
        return "displaced" if track == key else "wrong"


def _same_sound(
    one: NDArray[np.float32], a: int, other: NDArray[np.float32], b: int, seconds: int
) -> bool:
    """Return whether position `a` of one track sounds like position `b` of another."""
    low = max(0, -min(a, b))
    n = min(seconds * RATE, len(one) - a, len(other) - b) - low
    if n < RATE:
        return False
    spectra = [log_spectrum(x[y + low : y + low + n]) for x, y in ((one, a), (other, b))]
    # Without the mean of each bin, which is similar for tracks of one style.
    first, second = (np.maximum(x, -40) - np.maximum(x, -40).mean(axis=0) for x in spectra)
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) > 0.6
