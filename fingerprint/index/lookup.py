"""Looking up keys in all segments of an index, within a budget of postings.

The lists of postings of the keys of music differ in length by a factor of a thousand, and all grow
with the catalogue. A query reads whole lists up to a budget, those first that cost least for what
they are worth. Lengths are those of all segments together. So the keys that are read, and with them
the answer, depend on the tracks alone, not on the segments that hold them: a track that was added
today is looked up by the same keys as one that was merged long ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fingerprint.index.segment import Segment

# Postings read for one query, in all segments together: all of 800 hours of music, and a twelfth of
# those of 10 000 hours.
MAX_QUERY_POSTINGS = 2_000_000


def look_up(
    segments: Sequence[Segment],
    keys: NDArray[np.uint32],
    worth: NDArray[np.float32],
    max_postings: int,
) -> Iterator[tuple[Segment, NDArray[np.intp], NDArray[np.int64], NDArray[np.int32]]]:
    """Yield the postings of keys in each segment.

    Parameters
    ----------
    segments : sequence of Segment
        The index.
    keys : np.ndarray [shape=(n,), uint32]
        Keys.
    worth : np.ndarray [shape=(n,), float32] > 0
        What a posting of each key is worth, on any scale.
    max_postings : int >= 0
        Maximum number of postings, in all segments together. Above it, the keys with most postings
        for what one is worth are left out.

    Yields
    ------
    segment : Segment
        One in which there are any.
    which : np.ndarray [shape=(m,), intp], ascending
        Index into `keys` of each list of postings that is not empty.
    count : np.ndarray [shape=(m,), int64] > 0
        Postings of each.
    place : np.ndarray [shape=(sum of count,), int32]
        Frame of each posting on the segment's axis, list by list.
    """
    found = [segment.lists(keys) for segment in segments]
    total = np.sum([count for _, count in found], axis=0, dtype=np.int64)
    kept = cheapest(np.asarray(total), worth, max_postings) if found else np.empty(0, np.intp)
    for segment, (first, count) in zip(segments, found, strict=True):
        here = kept[count[kept] > 0]
        if len(here):
            yield segment, here, count[here], segment.read(first[here], count[here])


def cheapest(
    count: NDArray[np.int64], worth: NDArray[np.float32], max_postings: int
) -> NDArray[np.intp]:
    """Return the indices, ascending, of the lists that cost least for what they are worth.

    Together they have at most `max_postings`. Of two equal lists, the first is taken.
    """
    if int(count.sum()) <= max_postings:
        return np.arange(len(count))
    order = np.argsort(count / worth, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(count[order]), max_postings, side="right")]
    return np.sort(kept)
