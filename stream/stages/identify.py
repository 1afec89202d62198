"""Music to names: query a matcher while the music plays, and once more when it ends.

A query has the last seconds of music while a known track plays, and all the music without a name,
up to `max_query`, while none does: music that is too faint to be certain of in ten seconds becomes
certain in thirty. The matcher with warp search, which costs ten times as much, is given the same
music once, and only where the plain one finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, Strict

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.settings import EDGE, SAMPLE_RATE
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Match, Segment
from stream.ranges import Flag, Sample
from stream.session import Session, Sessions, Stage
from stream.stages.landmark_buffer import LandmarkBuffer
from stream.stages.playings import Playing, PlayingRules, Playings

if TYPE_CHECKING:
    from fingerprint.matching.matcher import Matcher, TrackMatch
    from stream.session import Item

WITH_MUSIC = ("music", "speech_over_music")

# The matcher with warp search gets every second query about a track that only it finds.
_WHILE_WARPED = 2


@dataclass(frozen=True, slots=True)
class IdentifySettings:
    """When the matcher is queried, all in samples.

    Parameters
    ----------
    first : int > 0
        Music before the first query.
    interval : int > 0
        Audio between two queries about the same music.
    query : int >= first
        Audio in a query about music that has a name.
    shortest : int > 0
        Music that ends sooner than this gets no query.
    tolerance : int >= 0
        Two answers are the same playing of a track if its positions agree within this.
    warp_every_n_queries : int > 0
        The matcher with warp search, if there is one, gets every n-th query about music without a
        name.
    max_query : int > 0
        Maximum audio in a query about music without a name.
    look_back : int > 0
        A segment is published at most this long after it began; the queries leave out the
        beginning of music that is published later.
    """

    first: int
    interval: int
    query: int
    shortest: int
    tolerance: int
    warp_every_n_queries: int = 1
    max_query: int = 30 * SAMPLE_RATE
    look_back: int = 10 * SAMPLE_RATE


@dataclass(slots=True)
class MusicState:
    """The music that a station plays, over any number of adjoining segments."""

    start: Sample
    next_query: Sample  # the next query is due when a decision ends here or later
    known: Sample  # up to here it has a name
    searched: Sample  # up to here the matcher with warp search was queried
    end: Sample | None = None  # where its last segment closed; None while one is open
    queries: Sample = 0  # how many there were
    warped: Flag = False  # whether only warp search finds it


@dataclass(slots=True)
class IdentifyState:
    """A station's music, its landmarks and its playings; `end` is that of the last decision."""

    buffer: LandmarkBuffer = field(default_factory=LandmarkBuffer)
    end: int = 0
    music: MusicState | None = None
    playings: Playings = field(default_factory=Playings)


@dataclass(frozen=True, slots=True)
class IdentifyPart:
    """The same in a snapshot, without the audio, and with packed landmarks."""

    end: Sample
    music: MusicState | None
    playings: Annotated[list[Playing], Field(max_length=1000)]
    over: Annotated[list[Playing], Field(max_length=1000)]
    audio_from: Sample
    # Half a minute of music has 16 kB.
    landmarks: Annotated[str, Strict(), Field(max_length=1 << 20)]


class Identify(Stage):
    """Name the music of every station.

    Queries are due when a decision ends, so that neither the size of chunks nor a restart changes
    them. An answer is published at once, and once more as final when the track is over.

    Parameters
    ----------
    matcher : Matcher
        Knows the tracks.
    settings : IdentifySettings
        When to query it.
    warping : Matcher, optional
        Knows the same tracks also where their speed or pitch was changed.
    """

    name = "identify"

    def __init__(
        self, matcher: Matcher, settings: IdentifySettings, warping: Matcher | None = None
    ) -> None:
        self.sessions = Sessions()
        self.matcher = matcher
        self.warping = warping
        self.settings = settings
        self.rules = PlayingRules(settings.tolerance, settings.shortest, held=2 * settings.query)

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the matches that become known behind (of a break: before) each.

        The audio is at the model's rate, and comes before the decisions about it.
        """
        out: list[Item] = []
        for item in items:
            session = self.sessions[item.station]
            state = session.identify
            if state is None and isinstance(item, AudioChunk | Decision | Segment):
                state = session.identify = IdentifyState()
            if state is None:
                out.append(item)
                continue
            match item:
                case AudioChunk():
                    state.buffer.audio.append(item)
                    out.append(item)
                case Segment():
                    out += [item, *self._segment(state, item)]
                case Decision(final=True):
                    out += [item, *self._decision(state, item)]
                case Discontinuity() | EndOfStream():
                    if state.music is not None:
                        out += self._music_ends(state, item, state.music.end or item.start)
                    session.identify = None
                    out.append(item)
                case _:
                    out.append(item)
        return out

    def oldest(self, session: Session, sample: int) -> int:
        """Return the first sample that a later query may need."""
        if session.identify is None or not session.identify.buffer.audio:
            return sample
        buffer = session.identify.buffer
        return min(sample, max(buffer.audio[0].start, buffer.audio_from))

    def snapshot(self, session: Session) -> IdentifyPart | None:
        """Return what `restore` needs besides the audio.

        It holds the landmarks of the music that later queries may be about: 4 kB while a track
        is known, about 12 kB where none is (`max_query` of 30 s), and none outside music.
        """
        state = session.identify
        if state is None:
            return None
        return IdentifyPart(
            state.end,
            state.music and replace(state.music),
            [replace(each) for each in state.playings.open],
            [replace(each) for each in state.playings.over],
            state.buffer.audio_from,
            state.buffer.landmarks.pack(),
        )

    def restore(self, session: Session, part: IdentifyPart) -> None:
        session.identify = IdentifyState(
            LandmarkBuffer(part.audio_from, Landmarks.unpack(part.landmarks)),
            part.end,
            part.music and replace(part.music),
            Playings(*([replace(each) for each in some] for some in (part.playings, part.over))),
        )

    def _segment(self, state: IdentifyState, segment: Segment) -> list[Match]:
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
            music = MusicState(start, start + self.settings.first, known=start, searched=start)
            state.music = music
            state.buffer.begin(start)
        if segment.final:
            music.end = segment.end
        return out

    def _decision(self, state: IdentifyState, decision: Decision) -> list[Match]:
        music = state.music
        state.end = decision.end
        out: list[Match] = []
        if music is not None and music.end is None and decision.end >= music.next_query:
            music.next_query = decision.end + self.settings.interval
            out = self._query(state, music, decision, decision.end - EDGE)
            # Twice the interval without the track means it is over, whatever follows it.
            stale = decision.end - 2 * self.settings.interval
            out += state.playings.finish(lambda match: match.end < stale)
        audio_from = decision.end - self.settings.look_back
        if state.music is not None:
            audio_from -= self.settings.interval
            audio_from = max(state.buffer.landmarks.end - EDGE, audio_from)
        state.buffer.drop_audio(audio_from)
        return out

    def _music_ends(
        self, state: IdentifyState, cause: Segment | Discontinuity | EndOfStream, end: int
    ) -> list[Match]:
        music = state.music
        assert music is not None
        out = []
        if end - music.known >= self.settings.shortest:
            out = self._query(state, music, cause, end)
        state.music = None
        state.buffer.begin(end)
        return out + state.playings.finish()

    def _query(
        self,
        state: IdentifyState,
        music: MusicState,
        cause: Decision | Segment | Discontinuity | EndOfStream,
        end: int,
    ) -> list[Match]:
        """Query the music up to `end`; return the matches that are new."""
        if isinstance(cause, Discontinuity | EndOfStream):
            audio_end = certain = cause.start
        else:
            audio_end, certain = state.end, state.end - EDGE
        buffer = state.buffer
        buffer.extend(self.matcher.extract, min(end, certain), audio_end)
        end = buffer.landmarks.end
        longest = max(music.start, end - max(self.settings.max_query, self.settings.query))
        start = max(longest, min(music.known, end - self.settings.query))
        # While a track plays, its landmarks stay: all of them may be needed to match it again.
        buffer.drop_landmarks(longest if state.playings.open else start)
        state.playings.forget(buffer.landmarks.start)
        if end - start < self.settings.shortest:
            return []
        out = []
        for answer in self._answers(state, music, start, last=not isinstance(cause, Decision)):
            out += state.playings.add(cause.station, answer, self.rules)
        music.known = max(music.known, state.playings.known)
        return out

    def _answers(
        self, state: IdentifyState, music: MusicState, start: int, *, last: bool
    ) -> list[TrackMatch]:
        """Query the music from `start`; query more of it where that gives nothing."""
        music.queries += 1
        landmarks = state.buffer.landmarks
        answers = self.matcher.match(landmarks.between(start, landmarks.end))
        if not answers and landmarks.start < start:
            answers = self.matcher.match(landmarks)
        every = _WHILE_WARPED if music.warped else self.settings.warp_every_n_queries
        due = music.queries % every == 0 or (last and (music.warped or music.known == music.start))
        if answers or self.warping is None or not due:
            return answers
        start = min(music.searched, landmarks.end - self.settings.query)
        music.searched = landmarks.end
        answers = self.warping.match(landmarks.between(start, landmarks.end))
        music.warped = any(answer.speed != 1 or answer.pitch != 0 for answer in answers)
        return answers
