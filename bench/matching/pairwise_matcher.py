"""A catalogue of pairwise boosted fingerprints: look-up by halves, then the share of equal bits.

Each frame of a query is looked up twice, by the lower and by the upper 16 of its 32 bits: both are
rarely wrong at once. A hit votes for an offset of the query in the catalogue. At the offsets with
the most votes all bits are compared, as by Haitsma and Kalker, and the most equal one is the
answer. Its score is the agreement beyond chance (Cohen's kappa): in a drone every frame has the
same bits, and two drones that share them by chance score 0.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.matching.music import load
from bench.matching.pairwise import (
    HOP,
    PARAMETERS,
    bit_error,
    load_filters,
    spectral_image,
    sub_fingerprints,
)
from bench.matching.queries import as_float

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bench.matching.matchers import Query, QueryResult
    from bench.matching.pairwise import BoxFilter

CANDIDATES = 300  # offsets compared for a query
_MAX_HITS = 2000  # a half that is commoner says little
_HALVES = (0, 16)


class PairwiseIndex:
    """Fingerprints of tracks on one line, and the frames that have each half.

    Parameters
    ----------
    filters : sequence of BoxFilter
        From `bench.matching.pairwise.load_filters`.
    keys : sequence of str
        Names of the tracks.
    bits : sequence of np.ndarray [shape=(frames,), uint32]
        Their sub-fingerprints.
    sounds : sequence of np.ndarray [shape=(frames,), bool]
        Which frames have sound; others are neither looked up nor compared.
    """

    def __init__(
        self,
        filters: Sequence[BoxFilter],
        keys: Sequence[str],
        bits: Sequence[NDArray[np.uint32]],
        sounds: Sequence[NDArray[np.bool_]],
    ) -> None:
        self.filters, self.keys = filters, keys
        self.starts = np.cumsum([0, *map(len, bits)])
        self.line = np.concatenate(bits)
        self.sound = np.concatenate(sounds)
        self._halves = []
        frames = np.flatnonzero(self.sound)
        for low in _HALVES:
            half = _half(self.line[frames], low)
            order = np.argsort(half, kind="stable")
            first = np.searchsorted(half[order], np.arange((1 << 16) + 1))
            self._halves.append((frames[order], first))

    def query(self, samples: NDArray[np.float32]) -> tuple[str, int, float] | None:
        """Return the best track, its sample at the query's start, and the agreement of the bits.

        None where the query has too little sound, or nothing is found.
        """
        bits, sound = sub_fingerprints(spectral_image(samples), self.filters)
        if 2 * np.count_nonzero(sound) < len(bits) or not len(bits):
            return None
        best, best_score = -1, -1.0
        for offset in self._candidates(bits, np.flatnonzero(sound)):
            score = self._score(bits, sound, int(offset))
            if score > best_score:
                best, best_score = int(offset), score
        if best_score < 0:
            return None
        track = self._track(best + len(bits) // 2)
        place = (best - int(self.starts[track])) * HOP
        return self.keys[track], place, agreement(*self._common(bits, sound, best))

    def _candidates(self, bits: NDArray[np.uint32], frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the offsets with the most votes; a vote counts for the next offset, too."""
        votes = []
        for low, (places, first) in zip(_HALVES, self._halves, strict=True):
            for frame, value in zip(frames, _half(bits[frames], low), strict=True):
                begin, end = first[value], first[value + 1]
                if end - begin <= _MAX_HITS:
                    votes.append(places[begin:end] - frame)
        if not votes:
            return np.zeros(0, np.int64)
        offsets, counts = np.unique(np.concatenate(votes), return_counts=True)
        top = offsets[np.argsort(-counts, kind="stable")[:CANDIDATES]]
        return np.unique(np.concatenate([top - 1, top, top + 1]))

    def _score(self, bits: NDArray[np.uint32], sound: NDArray[np.bool_], offset: int) -> float:
        """Return the share of equal bits where both sound; -1 if half of the query does not."""
        mine, other = self._common(bits, sound, offset)
        if 2 * len(mine) < len(bits):
            return -1.0
        return 1 - bit_error(mine, other)

    def _common(
        self, bits: NDArray[np.uint32], sound: NDArray[np.bool_], offset: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return the frames of query and track that lie on each other, and both sound."""
        track = self._track(offset + len(bits) // 2)
        low, high = int(self.starts[track]), int(self.starts[track + 1])
        begin, end = max(offset, low), min(offset + len(bits), high)
        mine = slice(begin - offset, end - offset)
        both = sound[mine] & self.sound[begin:end]
        return bits[mine][both], self.line[begin:end][both]

    def _track(self, frame: int) -> int:
        place = int(np.searchsorted(self.starts, frame, side="right")) - 1
        return min(max(place, 0), len(self.keys) - 1)


def pairwise(tracks: list[Path], work: Path) -> Query:
    """Return a query function of pairwise boosted fingerprints; they are stored in `work`."""
    filters = load_filters()
    state = hashlib.sha256(PARAMETERS.read_bytes()).hexdigest()[:8]
    stored = work / f"pairwise-{state}.npz"
    if not stored.exists():
        arrays = {}
        for path in tracks:
            bits, sound = sub_fingerprints(spectral_image(load(path)), filters)
            arrays[f"bits {path.stem}"], arrays[f"sound {path.stem}"] = bits, sound
        np.savez(stored, **arrays)
    with np.load(stored) as arrays:
        keys = [name.removeprefix("bits ") for name in arrays if name.startswith("bits ")]
        index = PairwiseIndex(
            filters,
            keys,
            [arrays[f"bits {key}"] for key in keys],
            [arrays[f"sound {key}"] for key in keys],
        )

    def run_queries(queries: Sequence[NDArray[np.int16]]) -> list[QueryResult]:
        out: list[QueryResult] = []
        for query in queries:
            start = time.process_time()
            found = index.query(as_float(query))
            answers = [] if found is None else [found]
            out.append({"answers": answers, "cpu_s": time.process_time() - start})
        return out

    return run_queries


def agreement(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> float:
    """Return the agreement of two fingerprints beyond chance: 1 if they are equal, 0 by chance.

    Chance is what fingerprints with as many ones in each bit would share in any order.
    """
    ones = [
        np.unpackbits(np.ascontiguousarray(each)[:, None].view(np.uint8), axis=1).mean(axis=0)
        for each in (first, second)
    ]
    chance = float((ones[0] * ones[1] + (1 - ones[0]) * (1 - ones[1])).mean())
    return (1 - bit_error(first, second) - chance) / max(1 - chance, 1e-9)


def _half(bits: NDArray[np.uint32], low: int) -> NDArray[np.int64]:
    return ((bits >> np.uint32(low)) & np.uint32(0xFFFF)).astype(np.int64)
