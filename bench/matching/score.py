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


@dataclass(frozen=True)
class Figures:
    """Number of queries by result, for one matcher and condition.

    `placed` and `displaced`: right track, at the right or at a wrong position. `repeats`: another
    position with the same sound, in this track or another.
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
    counts = dict.fromkeys(("placed", "displaced", "repeats", "wrong"), 0)
    found = 0
    for (key, truth), answered in zip(queries.truth, answers, strict=True):
        kinds = {
            tracks.kind(answer, key, truth, queries.seconds)
            for answer in answered["answers"]
            if answer[2] > threshold
        }
        found += bool(kinds - {"wrong"})
        counts["wrong"] += "wrong" in kinds
        for kind in ("placed", "repeats", "displaced"):
            if kind in kinds:  # the best of several
                counts[kind] += 1
                break
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
