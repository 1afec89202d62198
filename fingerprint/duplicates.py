"""Near-duplicates: whether a new track is in the catalogue under another name or encoding.

The matcher decides, by the audio alone: first three probes of the new track are searched, and if
one of them matches, the whole track.

Tracks of the catalogue do not compete here: what one of them shares with the new track does not
depend on the others. A recording that the catalogue has twice is found whole in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from fingerprint.matching.hypothesis import THRESHOLD, false_alarm_score
from fingerprint.matching.matcher import MAX_CANDIDATES, LandmarkMatcher
from fingerprint.matching.warp import NO_WARP
from fingerprint.settings import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.catalogue import Catalogue
    from fingerprint.matching.verification import Verification
    from fingerprint.track import Track

# Two tracks are the same recording if this part of both matches: quiet beginnings and ends, and
# passages spoilt by a poor codec, do not match.
SAME_RECORDING = 0.8
# An edit has at least this part of the longer version.
_EDIT = 0.4
_PROBES = (1 / 6, 1 / 2, 5 / 6)
_PROBE = 10 * SAMPLE_RATE
# Each window matches or not by itself, so an edit makes only one of them uncertain.
_WINDOW = 20 * SAMPLE_RATE
_WINDOWS_TOGETHER = 15  # searched as one query: its memory grows with the square of its length
# A false alarm costs a person's time: the best window must be as certain as one false match in ten
# thousand hours.
_THRESHOLD = 4.0


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A track of the catalogue that shares audio with a new track.

    Parameters
    ----------
    track, title, artist : str
        Its key, title and artist.
    coverage : float in (0, 1]
        Part of the new track that matches.
    coverage_of_reference : float in (0, 1]
        Part of the track in the catalogue that matches.
    score : float
        Of the best window, see `fingerprint.matching.hypothesis.false_alarm_score`.
    """

    track: str
    title: str
    artist: str
    coverage: float
    coverage_of_reference: float
    score: float

    @property
    def is_copy(self) -> bool:
        """Whether both are one recording: the same file, a remaster or an edit of it.

        A jingle, an excerpt and a medley are not: they are a small part of the other, or contain
        much else.
        """
        shares = sorted((self.coverage, self.coverage_of_reference))
        return shares[1] >= SAME_RECORDING and shares[0] >= _EDIT


def find_near_duplicate(catalogue: Catalogue, landmarks: Landmarks) -> NearDuplicate | None:
    """Return the track of a catalogue that covers most of a new one, if there is any.

    Parameters
    ----------
    catalogue : Catalogue
        The catalogue.
    landmarks : Landmarks
        The whole new track.
    """
    matcher = LandmarkMatcher(catalogue, warp_search=False)
    if not any(matcher.match(probe) for probe in _probes(landmarks)):
        return None
    windows = _windows(landmarks)
    found = [
        _near_duplicate(track, windows, matches)
        for track, matches in _matches_by_track(matcher, windows)
    ]
    certain = [each for each in found if each.score >= _THRESHOLD]
    return max(certain, key=lambda each: (each.is_copy, each.coverage), default=None)


def _matches_by_track(
    matcher: LandmarkMatcher, windows: list[Landmarks]
) -> list[tuple[Track, dict[int, Verification]]]:
    """Return each track that matches a window, with its best place for every window it matches.

    A track that is a candidate in one window is followed to the others: there, stronger copies of
    it may leave it no place among the candidates.
    """
    found: dict[str, tuple[Track, dict[int, Verification]]] = {}
    for first in range(0, len(windows), _WINDOWS_TOGETHER):
        pieces = windows[first : first + _WINDOWS_TOGETHER]
        for hypothesis, track in matcher.hypotheses(pieces, [NO_WARP], MAX_CANDIDATES):
            for index, match in enumerate(hypothesis.verifications, first + hypothesis.first):
                if false_alarm_score(match.z, warped=False) < THRESHOLD:
                    continue
                matches = found.setdefault(track.key, (track, {}))[1]
                if index not in matches or match.z > matches[index].z:
                    matches[index] = match
    return list(found.values())


def _windows(landmarks: Landmarks) -> list[Landmarks]:
    """Return a whole track in windows of equal length, _WINDOW or more each."""
    length = landmarks.end - landmarks.start
    count = max(length // _WINDOW, 1)
    edges = [landmarks.start + length * number // count for number in range(count + 1)]
    return [landmarks.between(a, b) for a, b in pairwise(edges)]


def _probes(landmarks: Landmarks) -> Iterable[Landmarks]:
    length = landmarks.end - landmarks.start
    if length <= 3 * _PROBE:
        yield landmarks
        return
    for part in _PROBES:
        start = landmarks.start + round(part * length) - _PROBE // 2
        yield landmarks.between(start, start + _PROBE)


def _near_duplicate(
    track: Track, windows: list[Landmarks], matches: dict[int, Verification]
) -> NearDuplicate:
    shared = HOP * sum(match.last - match.first for match in matches.values())
    # Two windows may match one place of the track: a chorus that it has once.
    places = [
        (HOP * (match.lag + match.first), HOP * (match.lag + match.last))
        for match in matches.values()
    ]
    return NearDuplicate(
        track.key,
        track.title,
        track.artist,
        min(shared / (windows[-1].end - windows[0].start), 1.0),
        min(_length_of_union(places) / max(track.duration, 1), 1.0),
        false_alarm_score(max(match.z for match in matches.values()), warped=False),
    )


def _length_of_union(spans: list[tuple[int, int]]) -> int:
    covered, reached = 0, min(start for start, _ in spans)
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return covered
