"""Candidates of pieces that were searched before: the queries of a station overlap.

While nothing is known, 30 s of audio are queried every 5 or 10 s, in pieces of 10 s. Half of the
pieces, or more, are those of an earlier query. Nothing new can come of looking them up again, as
long as the catalogue is the same.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from fingerprint.analysis import hashes
from fingerprint.matching.candidates import find_candidates
from fingerprint.matching.work import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.index.segment import Segment
    from fingerprint.matching.candidates import Candidate
    from fingerprint.matching.warp import Warp

# About 1 kB each: the latest pieces of some hundreds of stations.
_MAX_PIECES = 4096


class KnownPieces:
    """Finds the candidates of pieces, each piece once.

    They are no state: what is forgotten is found again, and is the same.
    """

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        # The latest last: candidates, and what it took to find them.
        self._found: OrderedDict[bytes, tuple[list[Candidate], int]] = OrderedDict()

    def candidates(
        self,
        segments: Sequence[Segment],
        piece: Landmarks,
        pairs: tuple[int, int],
        warp: Warp,
        max_candidates: int,
        max_postings: int,
        work: Work,
    ) -> list[Candidate]:
        """Return what `find_candidates` does for a piece under one warp.

        Parameters
        ----------
        segments : sequence of Segment
            The index. When it changes, everything is forgotten.
        piece : Landmarks
            The piece, wherever it lies in the audio.
        pairs : tuple of int
            Rank and fan-out of the pairs to look up.
        warp : Warp
            The warp.
        max_candidates, max_postings : int > 0
            See `find_candidates`.
        work : Work
            Where the search is counted, as if it were made again: what a station has left to spend
            must not depend on what this process remembers.
        """
        same = len(segments) == len(self._segments) and all(
            new is old for new, old in zip(segments, self._segments, strict=True)
        )
        if not same:
            self._segments = list(segments)
            self._found.clear()
        digest = hashlib.blake2b(repr((pairs, warp, max_candidates, max_postings)).encode())
        for values in (piece.time - piece.start, piece.bin, piece.rank):
            digest.update(values.tobytes())
        key = digest.digest()
        known = self._found.pop(key, None)
        if known is None:
            spent, query = Work(), hashes.query_pairs(piece, *pairs)
            some = find_candidates(segments, query, [warp], max_candidates, max_postings, spent)
            known = some, spent.units
        self._found[key] = known
        if len(self._found) > _MAX_PIECES:
            self._found.popitem(last=False)
        work.units += known[1]
        return known[0]
