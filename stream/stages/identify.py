"""Music to names: ask a matcher while the music plays, and once more when it ends.

A question is about the last seconds of music where a track is known to play, and about all the
music without a name, up to half a minute, where none is: what is too faint to be certain of in
ten seconds becomes certain in thirty. The thorough matcher, which costs ten times as much, is
asked about the same music once, and only where the other knows nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from fingerprint.settings import EDGE, SAMPLE_RATE
from stream.audio import AudioChunk, Cut
from stream.events import Decision, Match, Segment
from stream.stages.landmark_buffer import Evidence
from stream.stages.open_matches import Playing

if TYPE_CHECKING:
    from fingerprint.matching.matcher import Matcher, TrackMatch

WITH_MUSIC = ("music", "speech_over_music")

# The thorough matcher has this share of the questions about a track that only it knows.
_WHILE_CHANGED = 2


@dataclass(frozen=True, slots=True)
class IdentifySettings:
    """When the matcher is asked, all in samples.

    Parameters
    ----------
    first : int > 0
        Music that must have been heard before the first question.
    interval : int > 0
        Audio between two questions about the same music.
    query : int >= first
        Audio in a question about music that has a name.
    shortest : int > 0
        Music that ends sooner than this is not asked about.
    tolerance : int >= 0
        Two answers are the same playing of a track if its places agree within this.
    thorough_every : int > 0
        The thorough matcher, if there is one, gets every so-manieth question about music
        without a name.
    evidence : int > 0
        Longest audio in a question about music that has none.
    look_back : int > 0
        A segment is announced this long after it began at most; of music announced later the
        beginning is not asked about.
    """

    first: int
    interval: int
    query: int
    shortest: int
    tolerance: int
    thorough_every: int = 1
    evidence: int = 30 * SAMPLE_RATE
    look_back: int = 10 * SAMPLE_RATE


@dataclass(slots=True)
class _Music:
    """The music that a station is playing, over any number of adjoining segments."""

    start: int
    next_query: int
    known: int  # up to here it has a name
    searched: int  # up to here the thorough matcher was asked
    end: int | None = None  # where its last segment closed; None while one is open
    asked: int = 0
    changed: bool = False  # whether only the thorough matcher knows it


@dataclass(slots=True)
class _Station:
    evidence: Evidence = field(default_factory=Evidence)
    heard: int = 0  # end of the last decision
    music: _Music | None = None
    playing: Playing = field(default_factory=Playing)


class Identify:
    """Name the music of every station.

    Questions are asked when a decision says how far the audio has come, so that neither the
    size of chunks nor a restart changes them. An answer is published at once, and once more
    as final when the track is no longer heard.

    Parameters
    ----------
    matcher : Matcher
        Knows the tracks.
    settings : IdentifySettings
        When to ask.
    thorough : Matcher, optional
        Knows the same tracks also where their speed or pitch was changed.
    """

    def __init__(
        self, matcher: Matcher, settings: IdentifySettings, thorough: Matcher | None = None
    ) -> None:
        self.matcher = matcher
        self.thorough = thorough
        self.settings = settings
        self._stations: dict[str, _Station] = {}

    def push(
        self, audio: Sequence[AudioChunk | Cut], judged: Sequence[Decision | Segment | Cut]
    ) -> list[Decision | Segment | Match | Cut]:
        """Return `judged` with the matches that become known after each.

        Parameters
        ----------
        audio : sequence of AudioChunk or Cut
            At the model's rate, at least as far as the decisions in `judged` reach.
        judged : sequence of Decision, Segment or Cut
            What `Smooth` returned for it.
        """
        for item in audio:
            if isinstance(item, AudioChunk):
                self._station(item.station).evidence.audio.append(item)
        out: list[Decision | Segment | Match | Cut] = []
        for event in judged:
            state = self._station(event.station)
            if isinstance(event, Segment):
                out.append(event)
                out += self._segment(state, event)
            elif isinstance(event, Decision):
                out.append(event)
                out += self._decision(state, event)
            else:
                out += self._cut(state, event)
                out.append(event)
        return out

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._stations.pop(station, None)

    def oldest(self, station: str) -> int | None:
        """Return the first sample of `station` that a later question may need."""
        state = self._stations.get(station)
        if state is None or not state.evidence.audio:
            return None
        return max(state.evidence.audio[0].start, state.evidence.kept)

    def snapshot(self, station: str) -> dict[str, Any] | None:
        """Return what `restore` needs, besides the audio from `oldest` on, as JSON's types.

        It holds the landmarks of the music that may be asked about again: 4 kB while a track
        is known, about 12 kB where none is (`evidence` of 30 s), and none outside music.
        """
        state = self._stations.get(station)
        if state is None:
            return None
        return {
            "heard": state.heard,
            "music": None if state.music is None else asdict(state.music),
            "playing": [asdict(match) for match in state.playing.matches],
            **state.evidence.snapshot(),
        }

    def restore(self, station: str, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._stations[station] = _Station(
            Evidence.restore(snapshot),
            snapshot["heard"],
            None if snapshot["music"] is None else _Music(**snapshot["music"]),
            Playing([Match(**match) for match in snapshot["playing"]]),
        )

    def _station(self, name: str) -> _Station:
        return self._stations.setdefault(name, _Station())

    def _segment(self, state: _Station, segment: Segment) -> list[Match]:
        out: list[Match] = []
        music = state.music
        if music is not None and music.end is not None and segment.start >= music.end:
            if segment.label in WITH_MUSIC:
                music.end = None
            else:
                out += self._music_ends(state, segment, music.end)
                music = None
        if segment.label not in WITH_MUSIC:
            return out
        if music is None:
            start = segment.start
            music = _Music(start, start + self.settings.first, known=start, searched=start)
            state.music = music
            state.evidence.begin(start)
        if segment.final:
            music.end = segment.end
        return out

    def _decision(self, state: _Station, decision: Decision) -> list[Match]:
        music = state.music
        state.heard = decision.end
        out: list[Match] = []
        if music is not None and music.end is None and decision.end >= music.next_query:
            music.next_query = decision.end + self.settings.interval
            out = self._ask(state, music, decision, decision.end - EDGE)
            # Twice the interval without the track means it is over, whatever follows it.
            stale = decision.end - 2 * self.settings.interval
            out += state.playing.finish(lambda match: match.end < stale)
        keep = decision.end - self.settings.look_back
        if state.music is not None:
            keep = max(state.evidence.landmarks.end - EDGE, keep - self.settings.interval)
        state.evidence.drop_audio(keep)
        return out

    def _cut(self, state: _Station, cut: Cut) -> list[Match]:
        out = []
        if state.music is not None:
            out = self._music_ends(state, cut, state.music.end or cut.start)
        # Audio after the cut may have come in the same push; it begins a new session.
        later = deque(chunk for chunk in state.evidence.audio if chunk.start >= cut.start)
        if later:
            self._stations[cut.station] = _Station(Evidence(audio=later))
        else:
            del self._stations[cut.station]
        return out

    def _music_ends(self, state: _Station, cause: Segment | Cut, end: int) -> list[Match]:
        music = state.music
        assert music is not None
        out = []
        if end - music.known >= self.settings.shortest:
            out = self._ask(state, music, cause, end)
        state.music = None
        state.evidence.begin(end)
        return out + state.playing.finish()

    def _ask(
        self, state: _Station, music: _Music, cause: Decision | Segment | Cut, end: int
    ) -> list[Match]:
        """Ask about the music up to `end`; return the matches that are new."""
        heard = cause.start if isinstance(cause, Cut) else state.heard
        certain = heard if isinstance(cause, Cut) else heard - EDGE
        evidence = state.evidence
        evidence.extend(self.matcher.extract, min(end, certain), heard)
        end = evidence.landmarks.end
        longest = max(music.start, end - max(self.settings.evidence, self.settings.query))
        start = max(longest, min(music.known, end - self.settings.query))
        # While a track plays, what was heard of it is kept: it may take that to hear it again.
        evidence.drop_landmarks(longest if state.playing.matches else start)
        if end - start < self.settings.shortest:
            return []
        out = []
        for answer in self._answers(state, music, start, last=not isinstance(cause, Decision)):
            match = _match(cause.station, answer)
            music.known = max(music.known, match.end)
            out += state.playing.add(match, answer.speed, self.settings.tolerance)
        return out

    def _answers(
        self, state: _Station, music: _Music, start: int, *, last: bool
    ) -> list[TrackMatch]:
        """Ask about the music from `start`; ask more where that gives nothing."""
        music.asked += 1
        landmarks = state.evidence.landmarks
        answers = self.matcher.match(landmarks.between(start, landmarks.end))
        if not answers and landmarks.start < start:
            answers = self.matcher.match(landmarks)
        every = _WHILE_CHANGED if music.changed else self.settings.thorough_every
        due = music.asked % every == 0 or (last and (music.changed or music.known == music.start))
        if answers or self.thorough is None or not due:
            return answers
        start = min(music.searched, landmarks.end - self.settings.query)
        music.searched = landmarks.end
        answers = self.thorough.match(landmarks.between(start, landmarks.end))
        music.changed = any(answer.speed != 1 or answer.pitch != 0 for answer in answers)
        return answers


def _match(station: str, answer: TrackMatch) -> Match:
    return Match(
        station,
        answer.query_start,
        answer.query_end,
        answer.rate,
        None,
        answer.track,
        answer.title,
        answer.artist,
        answer.track_start,
        answer.score,
        final=False,
    )
