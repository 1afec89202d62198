"""From landmarks to named tracks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from fingerprint.analysis import hashes, peaks
from fingerprint.matching.candidates import find_candidates
from fingerprint.matching.hypothesis import THRESHOLD, Hypothesis, Scorer
from fingerprint.matching.known_pieces import KnownPieces
from fingerprint.matching.ownership import is_own
from fingerprint.matching.spans import (
    MAX_OVERLAP,
    continues,
    covers,
    join,
    overlap,
    rests,
    same_recording,
    span_overlap,
    without_overlap,
)
from fingerprint.matching.warp import NO_WARP, Warp, warp_grid
from fingerprint.matching.work import Work
from fingerprint.settings import HOP, SAMPLE_RATE
from fingerprint.track import TrackName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airsift.json_types import JsonScalar
    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.analysis.live_spectrum import LiveSpectrum
    from fingerprint.catalogue import Catalogue
    from fingerprint.matching.candidates import Candidate
    from fingerprint.track import Track

# A longer query is searched in pieces of about this length, whose scores are added: within one
# piece, a playback clock that is slightly off does no harm.
_PIECE = 10 * SAMPLE_RATE
# First pass, without a warp: few pairs of the strongest peaks, which find nearly everything.
_RANK = 6
_FAN_OUT = 6
MAX_CANDIDATES = 4  # verified in each piece
# Second pass, over a grid of warps: two fifths of these pairs for each warp. That halves the cost,
# and leaves a changed song far more votes than any other place has.
_WARPED_RANK = 4
_WARPED_FAN_OUT = 4
MAX_WARPED_CANDIDATES = 8  # of all warps together
# A candidate is not verified if it has less than _RIVAL_VOTES of the votes of an accepted one that
# covers _WHOLE of the piece: it could only be a weaker one for the same audio.
_RIVAL_VOTES = 0.5
_WHOLE = 0.8
# A rival is a tie if it has this part of a match's strength and of its span. One that shares six of
# ten seconds has less, and different encodings of the same audio have more.
_TIE = 0.8


@dataclass(frozen=True, slots=True)
class TrackMatch:
    """A track found in a query.

    Parameters
    ----------
    track, title, artist : str
        Its key in the catalogue, its title and its artist.
    query_start, query_end : int
        Its span in the query, in samples, half-open; accurate to about a second.
    track_start : int
        Place in the track at `query_start`, in samples.
    score : float
        Minus log10 of the false matches expected in an hour of audio that is not in the
        catalogue: 3 is one in a thousand hours.
    speed : float
        Seconds of the track per second of the query: 1.02 is played 2 % fast.
    pitch : float
        Semitones by which the query lies above the track, including the effect of `speed`.
    rate : int
        Samples per second of the three places, and of `duration`.
    album, isrc, label : str
        The track's metadata; empty where unknown.
    duration : int >= 0
        Samples of the track; 0 where unknown.
    extra : dict
        Further fields of the track.
    recording : str
        The same for all copies of a recording in the catalogue; empty for the track alone.
    copies : tuple of TrackName
        The other copies, whether they were compared with the query or not.
    rivals : tuple of Rival
        Tracks with other recordings that explain the same audio.
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
    album: str = ""
    isrc: str = ""
    label: str = ""
    duration: int = 0
    extra: dict[str, JsonScalar] = field(default_factory=dict)
    recording: str = ""
    copies: tuple[TrackName, ...] = ()
    rivals: tuple[Rival, ...] = ()

    @property
    def ties(self) -> list[TrackMatch]:
        """The rivals that explain it about as well: the query cannot tell which one plays."""
        length = self.query_end - self.query_start
        return [
            rival.match
            for rival in self.rivals
            if rival.strength >= _TIE and span_overlap(self, rival.match) >= _TIE * length
        ]

    @property
    def alternatives(self) -> list[TrackName]:
        """The other tracks that this may be: copies of its recording, and ties."""
        names = [TrackName(tie.track, tie.title, tie.artist) for tie in self.ties]
        return list(dict.fromkeys([*self.copies, *names]))


@dataclass(frozen=True, slots=True)
class Rival:
    """Another track that explains a match's audio.

    Parameters
    ----------
    match : TrackMatch
        Where it does; without rivals of its own.
    strength : float >= 0
        Standard deviations that support it where the match is, relative to the match's.
    """

    match: TrackMatch
    strength: float


Scored = tuple[float, TrackMatch]  # a match, and the score by which it competes


class LandmarkMatcher:
    """The matcher of a catalogue.

    Parameters
    ----------
    catalogue : Catalogue
        The tracks; tracks added by other processes are found from the next call on.
    threshold : float
        Minimum score of a match.
    warp_search : bool
        Whether to search for changed speed, tempo and pitch where nothing else is found; costs
        ten times as much as the first pass.

    Attributes
    ----------
    work : Work
        What all its searches together have done.
    """

    def __init__(
        self, catalogue: Catalogue, *, threshold: float = THRESHOLD, warp_search: bool = True
    ) -> None:
        self.catalogue = catalogue
        self.threshold = threshold
        self.warp_search = warp_search
        self.work = Work()
        self._known = KnownPieces()

    def extract(self, samples: NDArray[np.float32]) -> Landmarks:
        """Return the landmarks of mono audio at 16 kHz."""
        return peaks.extract(samples)

    def extract_next(
        self, samples: NDArray[np.float32], start: int, spectrum: LiveSpectrum
    ) -> Landmarks:
        """Return the landmarks of a piece of live audio; each column is computed once."""
        return peaks.extract_next(samples, start, spectrum)

    def match(self, landmarks: Landmarks) -> list[TrackMatch]:
        """Return the tracks in a stretch of audio.

        Parameters
        ----------
        landmarks : Landmarks
            3 s or more; the longer the stretch, the fainter the music may be. Join several with
            :meth:`Landmarks.join`.

        Returns
        -------
        list of TrackMatch
            In order of `query_start`, which has the time axis of the landmarks.
        """
        return self.match_with_shares(landmarks)[0]

    def match_with_shares(self, landmarks: Landmarks) -> tuple[list[TrackMatch], list[TrackMatch]]:
        """Return the tracks in a stretch of audio, and those of which it has only a loop.

        Parameters
        ----------
        landmarks : Landmarks
            As in :meth:`match`.

        Returns
        -------
        matches, shares : list of TrackMatch
            Each in order of `query_start`. Of shares that overlap, the best one: many tracks may
            be made of one loop.
        """
        self.catalogue.refresh()
        pieces = cut(landmarks)
        found, shared = self._search(pieces, [NO_WARP], MAX_CANDIDATES)
        if found:
            found, shared = self._search_rests(pieces, found, shared)
        known = [match for _, match in found + shared]
        left = [piece for piece in pieces if not any(covers(match, piece) for match in known)]
        if left and self.warp_search:
            warped, shared_warped = self._search(left, warp_grid(), MAX_WARPED_CANDIDATES)
            found, shared = found + warped, shared + shared_warped
        # A share that explains the audio best is not named by another repeat of its loop.
        only_shared = {id(match) for _, match in shared}
        best = without_overlap(found + shared)
        return (
            [match for match in best if id(match) not in only_shared],
            [match for match in best if id(match) in only_shared],
        )

    def hypotheses(
        self, pieces: list[Landmarks], warps: list[Warp], max_candidates: int
    ) -> list[tuple[Hypothesis, Track]]:
        """Return every hypothesis, of any score, with its track.

        Parameters
        ----------
        pieces : list of Landmarks
            Pieces of one query, in order of time.
        warps : list of Warp
            Warps to try.
        max_candidates : int > 0
            Candidates to verify for each piece.
        """
        return self._hypotheses(Scorer(pieces, self.work), warps, max_candidates)

    def _hypotheses(
        self, scorer: Scorer, warps: list[Warp], max_candidates: int
    ) -> list[tuple[Hypothesis, Track]]:
        candidates: list[tuple[int, Candidate]] = []
        pairs = (_RANK, _FAN_OUT) if len(warps) == 1 else (_WARPED_RANK, _WARPED_FAN_OUT)
        segments, most = self.catalogue.segments, self.catalogue.max_query_postings
        for index, piece in enumerate(scorer.pieces):
            if len(warps) == 1:
                some = self._known.candidates(
                    segments, piece, pairs, warps[0], max_candidates, most, self.work
                )
            else:  # a piece is searched over all warps once
                query = hashes.query_pairs(piece, *pairs)
                some = find_candidates(segments, query, warps, max_candidates, most, self.work)
            candidates += [(index, candidate) for candidate in some]
        candidates.sort(key=lambda found: -found[1].votes)

        explained: dict[int, int] = {}  # votes of the candidate that covers the whole of a piece
        found = []
        for index, candidate in candidates:
            if candidate.votes < explained.get(index, 0) * _RIVAL_VOTES:
                continue
            track = self.catalogue.track(int(candidate.segment.tracks[candidate.track]))
            hypothesis = None if track is None else scorer.score(candidate, index)
            if track is None or hypothesis is None:
                continue
            found.append((hypothesis, track))
            covered = hypothesis.coverage(index, scorer.pieces[index])
            if hypothesis.score >= self.threshold and covered > _WHOLE:
                explained[index] = candidate.votes
        return found

    def _search(
        self, pieces: list[Landmarks], warps: list[Warp], max_candidates: int
    ) -> tuple[list[Scored], list[Scored]]:
        """Return the matches and the shares."""
        scorer = Scorer(pieces, self.work)
        found = [
            (hypothesis, track)
            for hypothesis, track in self._hypotheses(scorer, warps, max_candidates)
            if hypothesis.score >= self.threshold
        ]
        accepted = [hypothesis for hypothesis, _ in found]
        matches: list[Scored] = []
        shares: list[Scored] = []
        for hypothesis, track in found:
            for part in hypothesis.without(accepted):
                if part.score >= self.threshold:
                    kind = matches if is_own(part, scorer) else shares
                    match = self._with_rivals(part, track, pieces, found)
                    kind.append((part.independent_score, match))
        return matches, shares

    def _search_rests(
        self, pieces: list[Landmarks], found: list[Scored], shared: list[Scored]
    ) -> tuple[list[Scored], list[Scored]]:
        """Search what the matches leave of their pieces; return all matches and shares.

        Where one track fades into another, the louder one or its repeats take all candidates, and
        hide the other's evidence. In the rest, the other is alone. The same track in the rest is
        its continuation, or a repeat of what was found.
        """
        known = without_overlap(found + shared)
        found = [(score, match) for score, match in found if match in known]
        for piece in pieces:
            for rest in rests(piece, known):
                more, more_shared = self._search([rest], [NO_WARP], MAX_CANDIDATES)
                shared = shared + more_shared
                for score, match in more:
                    same = [
                        at for at, (_, other) in enumerate(found) if same_recording(match, other)
                    ]
                    if not same:
                        found.append((score, match))
                    for at in same:
                        before, after = sorted((found[at][1], match), key=lambda m: m.query_start)
                        if continues(before, after):
                            found[at] = (found[at][0], join(before, after))
        return found, shared

    def _with_rivals(
        self,
        part: Hypothesis,
        track: Track,
        pieces: list[Landmarks],
        found: list[tuple[Hypothesis, Track]],
    ) -> TrackMatch:
        """Return a match with the other tracks that explain its audio."""
        match = self._to_match(part, track, pieces)
        rivals = []
        for other, its_track in found:
            if its_track.recording == track.recording or not other.overlaps(part):
                continue
            rival = Rival(self._to_match(other, its_track, pieces), other.strength(part))
            if overlap(match, rival.match) > MAX_OVERLAP:
                rivals.append(rival)
        return replace(match, rivals=tuple(rivals))

    def _to_match(self, found: Hypothesis, track: Track, pieces: list[Landmarks]) -> TrackMatch:
        first, last = pieces[found.first], pieces[found.last]
        speed = found.warp.time_ratio
        start = first.start + round(found.verifications[0].first * HOP / speed)
        end = last.start + round(found.verifications[-1].last * HOP / speed)
        copies = self.catalogue.copies(track)
        return TrackMatch(
            track.key,
            track.title,
            track.artist,
            start,
            min(end, last.end),
            found.verifications[0].lag * HOP + round((start - first.start) * speed),
            round(found.score, 2),
            round(speed, 4),
            round(found.warp.semitones, 2),
            album=track.album,
            isrc=track.isrc,
            label=track.label,
            duration=track.duration,
            extra=track.extra,
            recording=track.recording,
            copies=tuple(TrackName(copy.key, copy.title, copy.artist) for copy in copies),
        )


def cut(landmarks: Landmarks) -> list[Landmarks]:
    """Cut landmarks into pieces of equal length, about _PIECE each."""
    length = landmarks.end - landmarks.start
    count = max(1, round(length / _PIECE))
    edges = [landmarks.start + length * i // count for i in range(count + 1)]
    return [landmarks.between(a, b) for a, b in pairwise(edges)]
