"""Queries of any length.

The memory of a matcher grows with the square of the query's length: two hours that are all in the
catalogue took 8 GB. A long query is therefore searched in overlapping stretches, and matches on
both sides of an edge are joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fingerprint.matching.spans import continues, join, without_overlap
from fingerprint.settings import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.base import Matcher
    from fingerprint.matching.matcher import LandmarkMatcher, TrackMatch

_STRETCH = 300 * SAMPLE_RATE
# One of two stretches has at least this much of a track that crosses their edge.
_OVERLAP = 60 * SAMPLE_RATE


def match_long(matcher: Matcher, landmarks: Landmarks) -> list[TrackMatch]:
    """Return the tracks in landmarks of any length, in order of time."""
    return _joined(match for part in _stretches(landmarks) for match in matcher.match(part))


def match_long_with_shares(
    matcher: LandmarkMatcher, landmarks: Landmarks
) -> tuple[list[TrackMatch], list[TrackMatch]]:
    """Return the tracks in landmarks of any length, and those of which they have only a loop."""
    parts = [matcher.match_with_shares(part) for part in _stretches(landmarks)]
    return (
        _joined(match for matches, _ in parts for match in matches),
        _joined(share for _, shares in parts for share in shares),
    )


def _joined(found: Iterable[TrackMatch]) -> list[TrackMatch]:
    """Join matches on both sides of the edges of stretches."""
    joined: list[TrackMatch] = []
    for match in sorted(found, key=lambda match: match.query_start):
        for index, before in enumerate(joined):
            if continues(before, match):
                joined[index] = join(before, match)
                break
        else:
            joined.append(match)
    return without_overlap([(match.score, match) for match in joined])


def _stretches(landmarks: Landmarks) -> Iterator[Landmarks]:
    start, end = landmarks.start, landmarks.end
    while end - start > _STRETCH:
        yield landmarks.between(start, start + _STRETCH)
        start += _STRETCH - _OVERLAP
    yield landmarks.between(start, end)
