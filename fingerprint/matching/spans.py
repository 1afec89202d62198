"""Where matches lie in a query: which ones overlap, which continue each other, what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fingerprint.settings import MIN_TRACK_S, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.matcher import TrackMatch

# Two matches may overlap by this part of the shorter one; otherwise the weaker is dropped.
MAX_OVERLAP = 0.4
_TOLERANCE = SAMPLE_RATE  # places in a track that differ by less are the same
_SHORTEST = round(MIN_TRACK_S * SAMPLE_RATE)


def without_overlap(found: Iterable[tuple[float, TrackMatch]]) -> list[TrackMatch]:
    """Return (score, match) pairs as matches in order of time; where they overlap, the best one."""
    kept: list[TrackMatch] = []
    for _, match in sorted(found, key=lambda pair: -pair[0]):
        if not any(overlap(match, other) > MAX_OVERLAP for other in kept):
            kept.append(match)
    return sorted(kept, key=lambda match: match.query_start)


def overlap(a: TrackMatch, b: TrackMatch) -> float:
    """Return the part of the shorter match that lies in the other."""
    shorter = min(a.query_end - a.query_start, b.query_end - b.query_start)
    return span_overlap(a, b) / max(shorter, 1)


def span_overlap(a: TrackMatch, b: TrackMatch) -> int:
    """Return the samples of the query that two matches share; negative between two apart."""
    return min(a.query_end, b.query_end) - max(a.query_start, b.query_start)


def covers(match: TrackMatch, piece: Landmarks) -> bool:
    """Return whether a match covers more than half of a piece."""
    common = min(match.query_end, piece.end) - max(match.query_start, piece.start)
    return common > 0.5 * (piece.end - piece.start)


def rests(piece: Landmarks, found: Iterable[TrackMatch]) -> list[Landmarks]:
    """Return what some matches leave of a piece, in stretches of 3 s and more.

    A piece without any of the matches has no rest: it was searched as a whole.
    """
    spans = sorted(
        (match.query_start, match.query_end)
        for match in found
        if match.query_start < piece.end and match.query_end > piece.start
    )
    if not spans:
        return []
    out, at = [], piece.start
    for start, end in [*spans, (piece.end, piece.end)]:
        if start - at >= _SHORTEST:
            out.append(piece.between(at, start))
        at = max(at, end)
    return out


def same_recording(a: TrackMatch, b: TrackMatch) -> bool:
    """Return whether two matches are of one track, or of two copies of a recording."""
    return a.track == b.track or bool(a.recording and a.recording == b.recording)


def continues(before: TrackMatch, after: TrackMatch) -> bool:
    """Return whether two matches belong to one playback of a track."""
    if after.query_start > before.query_end + _TOLERANCE or not same_recording(before, after):
        return False
    if before.track != after.track:  # positions in two copies of a recording differ
        return True
    passed = after.query_start - before.query_start
    expected = before.track_start + passed * (before.speed + after.speed) / 2
    return abs(after.track_start - expected) < _TOLERANCE


def join(before: TrackMatch, after: TrackMatch) -> TrackMatch:
    """Return one match for two that continue each other, the earlier one first."""
    longer = max(before, after, key=lambda match: match.query_end - match.query_start)
    return replace(
        before,
        query_end=max(before.query_end, after.query_end),
        score=max(before.score, after.score),
        speed=longer.speed,
        pitch=longer.pitch,
    )
