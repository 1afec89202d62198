"""Questions about hours of audio, asked stretch by stretch.

What a matcher compares grows with the square of a question's length: two hours that are all in the
catalogue took 8 GB. So a long question is asked in stretches that overlap, and what is found on
both sides of an edge is joined.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fingerprint.matching.matcher import without_overlap
from fingerprint.settings import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.matcher import Matcher, TrackMatch

_STRETCH = 300 * SAMPLE_RATE
# Of a track that is played over an edge, one of the two stretches has this much and more.
_OVERLAP = 60 * SAMPLE_RATE
_SAME = SAMPLE_RATE  # places in a track that differ by less are one


def match_long(matcher: Matcher, landmarks: Landmarks) -> list[TrackMatch]:
    """Return the tracks heard in landmarks of any length, in order of time."""
    found = [match for part in _stretches(landmarks) for match in matcher.match(part)]
    joined: list[TrackMatch] = []
    for match in sorted(found, key=lambda match: match.query_start):
        for index, before in enumerate(joined):
            if _goes_on(before, match):
                joined[index] = _join(before, match)
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


def _goes_on(before: TrackMatch, after: TrackMatch) -> bool:
    """Say whether two matches are one playing of a track."""
    if before.track != after.track or after.query_start > before.query_end + _SAME:
        return False
    passed = after.query_start - before.query_start
    expected = before.track_start + passed * (before.speed + after.speed) / 2
    return abs(after.track_start - expected) < _SAME


def _join(before: TrackMatch, after: TrackMatch) -> TrackMatch:
    longer = max(before, after, key=lambda match: match.query_end - match.query_start)
    return replace(
        before,
        query_end=max(before.query_end, after.query_end),
        score=max(before.score, after.score),
        speed=longer.speed,
        pitch=longer.pitch,
    )
