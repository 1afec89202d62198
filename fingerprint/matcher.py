"""From landmarks to named tracks: the two methods everything outside calls."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from fingerprint import pairs, peaks, votes
from fingerprint.score import THRESHOLD, false_alarms
from fingerprint.settings import BINS_PER_OCTAVE, FAN_OUT_QUERY, HOP, QUERY_RANK, SAMPLE_RATE
from fingerprint.verify import QueryMap, check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.catalogue import Catalogue
    from fingerprint.landmarks import Landmarks
    from fingerprint.votes import Guess

# A longer query is looked up in pieces of about this length, and their evidence added: a
# player's clock that is slightly off does no harm within one piece.
_PIECE = 10 * SAMPLE_RATE
# Guesses checked for each piece.
_MOST = 6
# Two matches may share this part of the shorter one; of those that share more, the better is
# told and the other left out.
_OVERLAP = 0.4
# A piece that speaks for a guess with less than this ends the stretch in which it is heard.
_WORTH = 2.0


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
        """Return what the matcher needs of mono audio at 16 kHz."""
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
    """

    def __init__(self, catalogue: Catalogue, *, threshold: float = THRESHOLD) -> None:
        self.catalogue = catalogue
        self.threshold = threshold

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
        found = self._first_pass(pieces)
        return _without_overlap(found)

    def _first_pass(self, pieces: list[Landmarks]) -> list[TrackMatch]:
        guesses: list[Guess] = []
        for piece in pieces:
            query = pairs.to_look_up(piece, QUERY_RANK, FAN_OUT_QUERY)
            keys, time = votes.keys_of(query)
            some: list[Guess] = []
            for segment in self.catalogue.segments:
                some += votes.guesses(segment, keys, time, _MOST)
            some.sort(key=lambda guess: -guess.votes)
            # From here on the place in the track is that at the start of the whole query.
            guesses += [guess.at(pieces[0].start - piece.start) for guess in some[:_MOST]]
        maps = [QueryMap(piece) for piece in pieces]
        matches = (self._weigh(guess, pieces, maps) for guess in _distinct(guesses))
        return [match for match in matches if match is not None]

    def _weigh(
        self, guess: Guess, pieces: list[Landmarks], maps: list[QueryMap]
    ) -> TrackMatch | None:
        """Check a guess in every piece; return the match it makes, if it does."""
        track = self.catalogue.track(int(guess.segment.tracks[guess.track]))
        if track is None:
            return None
        shown = [
            check(map_, guess.at(piece.start - pieces[0].start))
            for piece, map_ in zip(pieces, maps, strict=True)
        ]
        first, last = _best_run([evidence.z for evidence in shown])
        run = shown[first:last]
        score = false_alarms([evidence.z for evidence in run])
        if score < self.threshold:
            return None
        start = pieces[first].start + _to_samples(run[0].first, guess)
        end = pieces[last - 1].start + _to_samples(run[-1].last, guess)
        return TrackMatch(
            track.key,
            track.title,
            track.artist,
            start,
            min(end, pieces[-1].end),
            run[0].lag * HOP + round((start - pieces[first].start) * guess.stretch),
            round(score, 2),
            guess.stretch,
            round(guess.shift * 12 / BINS_PER_OCTAVE, 2),
        )


def _to_samples(frame: int, guess: Guess) -> int:
    return round(frame * HOP / guess.stretch)


def _cut(landmarks: Landmarks) -> list[Landmarks]:
    """Return the landmarks in pieces of equal length, about _PIECE each."""
    length = landmarks.end - landmarks.start
    count = max(1, round(length / _PIECE))
    edges = [landmarks.start + length * i // count for i in range(count + 1)]
    return [landmarks.between(a, b) for a, b in pairwise(edges)]


def _distinct(guesses: list[Guess]) -> list[Guess]:
    """Return the guesses without those that repeat a better one, most votes first."""
    kept: list[Guess] = []
    for guess in sorted(guesses, key=lambda guess: -guess.votes):
        if not any(guess.same_as(other) for other in kept):
            kept.append(guess)
    return kept


def _best_run(z: list[float]) -> tuple[int, int]:
    """Return the run of pieces [first, last) that speaks most for a guess."""
    best, best_run = -1e9, (0, 1)
    for first in range(len(z)):
        total = 0.0
        for last in range(first, len(z)):
            total += z[last] - _WORTH
            if total > best:
                best, best_run = total, (first, last + 1)
    return best_run


def _without_overlap(matches: list[TrackMatch]) -> list[TrackMatch]:
    """Return the matches in order of time; of those that overlap, only the best."""
    kept: list[TrackMatch] = []
    for match in sorted(matches, key=lambda match: -match.score):
        if not any(_overlap(match, other) > _OVERLAP for other in kept):
            kept.append(match)
    return sorted(kept, key=lambda match: match.query_start)


def _overlap(a: TrackMatch, b: TrackMatch) -> float:
    """Return the part of the shorter match that lies in the other."""
    common = min(a.query_end, b.query_end) - max(a.query_start, b.query_start)
    shorter = min(a.query_end - a.query_start, b.query_end - b.query_start)
    return common / max(shorter, 1)
