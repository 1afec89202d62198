"""What the answers of the fingerprint benchmark are worth: found, right place, or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.matching.matchers import Answer, Asked
from bench.matching.music import RATE, load
from bench.matching.queries import Queries
from fingerprint.analysis.spectrum import log_spectrum

_EXACT_S = 0.1


@dataclass(frozen=True)
class Figures:
    """Of one matcher under one condition, in queries unless the name says more.

    `placed` and `displaced` count those found in the right track, at the right place or not;
    `repeats` those found at another place that sounds the same, in this track or another.
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
        """The right place, of what is found; repeats of a loop are left out."""
        return 100 * self.placed / max(self.placed + self.displaced, 1)


def score(queries: Queries, asked: Sequence[Asked], threshold: float, tracks: Tracks) -> Figures:
    """Count what the answers with a score above a threshold are worth."""
    counts = dict.fromkeys(("placed", "displaced", "repeats", "wrong"), 0)
    found = 0
    for (key, truth), answered in zip(queries.truth, asked, strict=True):
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
    cpu_ms = 1000 * float(np.median([answered["cpu_s"] for answered in asked]))
    return Figures(len(asked), found, cpu_ms=cpu_ms, **counts)


class Tracks:
    """The catalogue's audio, to tell whether two places sound the same."""

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
    """Return whether place `a` of one track sounds like place `b` of another, or of itself."""
    low = max(0, -min(a, b))
    n = min(seconds * RATE, len(one) - a, len(other) - b) - low
    if n < RATE:
        return False
    spectra = [log_spectrum(x[y + low : y + low + n]) for x, y in ((one, a), (other, b))]
    # Each bin's mean is taken away: two tracks of one style are alike in it.
    first, second = (np.maximum(x, -40) - np.maximum(x, -40).mean(axis=0) for x in spectra)
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) > 0.6
