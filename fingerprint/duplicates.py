"""Near-duplicates: whether a new track is in the catalogue under another name or encoding.

The matcher decides, by the audio alone: first three probes of the new track are searched, and if
one of them matches, the whole track.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.settings import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.catalogue import Catalogue
    from fingerprint.matching.matcher import TrackMatch

# Two tracks are the same recording if this part of both matches: quiet beginnings and ends, and
# passages spoilt by a poor codec, do not match.
SAME_RECORDING = 0.8
# An edit has at least this part of the longer version.
_EDIT = 0.4
_PROBES = (1 / 6, 1 / 2, 5 / 6)
_PROBE = 10 * SAMPLE_RATE
_WINDOW = 20 * SAMPLE_RATE
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
    by_track: dict[str, list[TrackMatch]] = {}
    for window in _windows(landmarks):
        for match in matcher.match(window):
            by_track.setdefault(match.track, []).append(match)
    found = [_near_duplicate(catalogue, landmarks, matches) for matches in by_track.values()]
    certain = [each for each in found if each.score >= _THRESHOLD]
    return max(certain, key=lambda each: (each.is_copy, each.coverage), default=None)


def _windows(landmarks: Landmarks) -> Iterable[Landmarks]:
    """Yield a whole track in windows: an edit then makes only one window uncertain."""
    length = landmarks.end - landmarks.start
    count = max(length // _WINDOW, 1)
    for number in range(count):
        start = landmarks.start + length * number // count
        yield landmarks.between(start, landmarks.start + length * (number + 1) // count)


def _probes(landmarks: Landmarks) -> Iterable[Landmarks]:
    length = landmarks.end - landmarks.start
    if length <= 3 * _PROBE:
        yield landmarks
        return
    for part in _PROBES:
        start = landmarks.start + round(part * length) - _PROBE // 2
        yield landmarks.between(start, start + _PROBE)


def _near_duplicate(
    catalogue: Catalogue, landmarks: Landmarks, matches: list[TrackMatch]
) -> NearDuplicate:
    best = max(matches, key=lambda match: match.score)
    spans = [(match.query_start, match.query_end) for match in matches]
    places = [
        (match.track_start, match.track_start + match.query_end - match.query_start)
        for match in matches
    ]
    track = catalogue.named(best.track)
    duration = track.duration if track is not None else 0
    return NearDuplicate(
        best.track,
        best.title,
        best.artist,
        min(_length_of_union(spans) / (landmarks.end - landmarks.start), 1.0),
        min(_length_of_union(places) / max(duration, 1), 1.0),
        best.score,
    )


def _length_of_union(spans: list[tuple[int, int]]) -> int:
    covered, reached = 0, min(start for start, _ in spans)
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return covered
