"""From landmarks to named tracks: the two methods everything outside calls."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from fingerprint.analysis import hashes, peaks
from fingerprint.matching import candidates
from fingerprint.matching.false_alarm_rate import THRESHOLD
from fingerprint.matching.hypothesis import Case, Weighing
from fingerprint.matching.warp import NONE, Change, grid
from fingerprint.settings import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.catalogue import Catalogue
    from fingerprint.matching.candidates import Guess
    from fingerprint.track import Track

# A longer query is looked up in pieces of about this length, and their evidence added: a
# player's clock that is slightly off does no harm within one piece.
_PIECE = 10 * SAMPLE_RATE
# The first pass: few pairs of the strongest peaks, which find nearly everything that is
# played as it is; guesses checked for each piece.
_RANK = 6
_FAN_OUT = 6
MOST = 4
# The second pass, over a grid of changes: as many pairs for each, and the best guesses of all.
MOST_CHANGED = 8
# A guess with less than _MEANT of the votes of one that is accepted and heard in _WHOLE of a
# piece is not checked: it could only be a lesser one for the same audio.
_MEANT = 0.5
_WHOLE = 0.8
# Two matches may share this part of the shorter one; of those that share more, the better is
# told and the other left out.
_OVERLAP = 0.4


@dataclass(frozen=True, slots=True)
class TrackMatch:
    """A track that a query holds.

    Parameters
    ----------
    track, title, artist : str
        Its key in the catalogue, and what people call it.
    query_start, query_end : int
        Where in the query it is heard, in samples, half-open; as exact as a second or so.
    track_start : int
        The place in the track that is heard at `query_start`, in samples.
    score : float
        Minus the power of ten of the false matches to expect in an hour of audio that is not
        in the catalogue: 3 is one in a thousand hours.
    speed : float
        Seconds of the track in a second of the query: 1.02 is played 2 % fast.
    pitch : float
        Semitones the query lies above the track; what `speed` does to the pitch included.
    rate : int
        Samples per second of the three places.
    """

    track: str
    title: str
    artist: str
    query_start: int
    query_end: int
    track_start: int
    score: float
    speed: float = 1.0
    pitch: float = 0.0
    rate: int = SAMPLE_RATE


class Matcher(Protocol):
    """Names the music in audio. An outside service can stand behind these two methods."""

    def extract(self, samples: NDArray[np.float32]) -> Landmarks:
        """Return what the matcher needs of mono audio at 16 kHz.

        Landmarks further than `EDGE` (`fingerprint.settings`) from both ends must not depend on
        audio beyond: a stream extracts piece by piece, and joins what it gets.
        """
        ...

    def match(self, landmarks: Landmarks) -> list[TrackMatch]:
        """Return the tracks heard, in order of time; none when in doubt."""
        ...


class LandmarkMatcher:
    """The matcher of a catalogue.

    Parameters
    ----------
    catalogue : Catalogue
        The tracks it knows; what others add to it is known from the next call on.
    threshold : float
        Least score of a match.
    thorough : bool
        Whether to look for changed speed, tempo and pitch where nothing else is found; costs
        ten times as much as the first look.
    """

    def __init__(
        self, catalogue: Catalogue, *, threshold: float = THRESHOLD, thorough: bool = True
    ) -> None:
        self.catalogue = catalogue
        self.threshold = threshold
        self.thorough = thorough

    def extract(self, samples: NDArray[np.float32]) -> Landmarks:
        """Return the landmarks of mono audio at 16 kHz."""
        return peaks.extract(samples)

    def match(self, landmarks: Landmarks) -> list[TrackMatch]:
        """Return the tracks heard in the landmarks of a stretch of audio.

        Parameters
        ----------
        landmarks : Landmarks
            Of 3 s or more; the longer the stretch, the weaker the music may be. Several may be
            joined, see :meth:`Landmarks.join`.

        Returns
        -------
        list of TrackMatch
            In order of `query_start`, which counts as the landmarks do.
        """
        self.catalogue.refresh()
        pieces = _cut(landmarks)
        found = self._look(pieces, [NONE], MOST)
        left = [piece for piece in pieces if not any(_covers(match, piece) for _, match in found)]
        if left and self.thorough:
            found += self._look(left, grid(), MOST_CHANGED)
        return without_overlap(found)

    def cases(
        self, pieces: list[Landmarks], changes: list[Change], most: int
    ) -> list[tuple[Case, Track]]:
        """Return every case that can be made for a track, strong or weak.

        Parameters
        ----------
        pieces : list of Landmarks
            Pieces of one query, in order of time.
        changes : list of Change
            How the query may be changed.
        most : int > 0
            Guesses to check for each piece.
        """
        guesses: list[tuple[int, Guess]] = []
        for index, piece in enumerate(pieces):
            query = hashes.to_look_up(piece, _RANK, _FAN_OUT)
            some = candidates.search(self.catalogue.segments, query, changes, most)
            guesses += [(index, guess) for guess in some]
        guesses.sort(key=lambda found: -found[1].votes)

        weighing = Weighing(pieces)
        explained: dict[int, int] = {}  # votes of a guess that stands for the whole of a piece
        found = []
        for index, guess in guesses:
            if guess.votes < explained.get(index, 0) * _MEANT:
                continue
            track = self.catalogue.track(int(guess.segment.tracks[guess.track]))
            case = None if track is None else weighing.weigh(guess, index)
            if track is not None and case is not None:
                found.append((case, track))
                if case.score >= self.threshold and case.share(index, pieces[index]) > _WHOLE:
                    explained[index] = guess.votes
        return found

    def _look(
        self, pieces: list[Landmarks], changes: list[Change], most: int
    ) -> list[tuple[float, TrackMatch]]:
        """Return the strength of each match with it."""
        found = [
            (case, track)
            for case, track in self.cases(pieces, changes, most)
            if case.score >= self.threshold
        ]
        every = [case for case, _ in found]
        return [
            (part.strength, _to_match(part, track, pieces))
            for case, track in found
            for part in case.without(every)
            if part.score >= self.threshold
        ]


def _to_match(case: Case, track: Track, pieces: list[Landmarks]) -> TrackMatch:
    first, last = pieces[case.first], pieces[case.last]
    speed = case.change.speed
    start = first.start + round(case.evidence[0].first * HOP / speed)
    end = last.start + round(case.evidence[-1].last * HOP / speed)
    return TrackMatch(
        track.key,
        track.title,
        track.artist,
        start,
        min(end, last.end),
        case.evidence[0].lag * HOP + round((start - first.start) * speed),
        round(case.score, 2),
        round(speed, 4),
        round(case.change.semitones, 2),
    )


def _covers(match: TrackMatch, piece: Landmarks) -> bool:
    """Return whether a match explains most of a piece."""
    common = min(match.query_end, piece.end) - max(match.query_start, piece.start)
    return common > 0.5 * (piece.end - piece.start)


def _cut(landmarks: Landmarks) -> list[Landmarks]:
    """Return the landmarks in pieces of equal length, about _PIECE each."""
    length = landmarks.end - landmarks.start
    count = max(1, round(length / _PIECE))
    edges = [landmarks.start + length * i // count for i in range(count + 1)]
    return [landmarks.between(a, b) for a, b in pairwise(edges)]


def without_overlap(found: list[tuple[float, TrackMatch]]) -> list[TrackMatch]:
    """Return the matches in order of time; of those that overlap, only the strongest."""
    kept: list[TrackMatch] = []
    for _, match in sorted(found, key=lambda pair: -pair[0]):
        if not any(_overlap(match, other) > _OVERLAP for other in kept):
            kept.append(match)
    return sorted(kept, key=lambda match: match.query_start)


def _overlap(a: TrackMatch, b: TrackMatch) -> float:
    """Return the part of the shorter match that lies in the other."""
    common = min(a.query_end, b.query_end) - max(a.query_start, b.query_start)
    shorter = min(a.query_end - a.query_start, b.query_end - b.query_start)
    return common / max(shorter, 1)
