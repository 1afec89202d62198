"""Whether a new track is in the catalogue already, under another name or in another encoding.

The matcher decides, on what is heard: three places of the new track are looked for, and where
one of them is found, all of it.
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

# Two tracks are the same when this much of both is: quiet beginnings and ends, and what a
# poor codec has spoilt, are not heard to be the same.
SAME = 0.8
_PROBES = (1 / 6, 1 / 2, 5 / 6)
_PROBE = 10 * SAMPLE_RATE
_WINDOW = 20 * SAMPLE_RATE
# A wrong answer costs a person's time here: of all windows the best must be as certain as one
# false match in ten thousand hours.
_THRESHOLD = 4.0


@dataclass(frozen=True, slots=True)
class Alike:
    """A track of the catalogue that a new one shares sound with.

    Parameters
    ----------
    track, title, artist : str
        Its key, and what people call it.
    share : float in (0, 1]
        How much of the new track is heard in it.
    there : float in (0, 1]
        How much of it is heard in the new track.
    score : float
        Of the best stretch, see :mod:`fingerprint.matching.false_alarm_rate`.
    """

    track: str
    title: str
    artist: str
    share: float
    there: float
    score: float


def find_alike(catalogue: Catalogue, landmarks: Landmarks) -> Alike | None:
    """Return the track of a catalogue that shares most with a new one, if any does.

    Parameters
    ----------
    catalogue : Catalogue
        The tracks that are there.
    landmarks : Landmarks
        Of the new track, whole.
    """
    matcher = LandmarkMatcher(catalogue, thorough=False)
    if not any(matcher.match(probe) for probe in _probes(landmarks)):
        return None
    by_track: dict[str, list[TrackMatch]] = {}
    for window in _windows(landmarks):
        for match in matcher.match(window):
            by_track.setdefault(match.track, []).append(match)
    found = [_alike(catalogue, landmarks, matches) for matches in by_track.values()]
    certain = [alike for alike in found if alike.score >= _THRESHOLD]
    return max(certain, key=lambda alike: alike.share, default=None)


def _windows(landmarks: Landmarks) -> Iterable[Landmarks]:
    """Yield all of a track in windows: where a cut is, only the window around it is unsure."""
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


def _alike(catalogue: Catalogue, landmarks: Landmarks, matches: list[TrackMatch]) -> Alike:
    best = max(matches, key=lambda match: match.score)
    heard = [(match.query_start, match.query_end) for match in matches]
    places = [
        (match.track_start, match.track_start + match.query_end - match.query_start)
        for match in matches
    ]
    track = catalogue.named(best.track)
    duration = track.duration if track is not None else 0
    return Alike(
        best.track,
        best.title,
        best.artist,
        min(_covered(heard) / (landmarks.end - landmarks.start), 1.0),
        min(_covered(places) / max(duration, 1), 1.0),
        best.score,
    )


def _covered(stretches: list[tuple[int, int]]) -> int:
    """Return how much all stretches cover together, what overlaps once."""
    covered, reached = 0, min(start for start, _ in stretches)
    for start, end in sorted(stretches):
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return covered
