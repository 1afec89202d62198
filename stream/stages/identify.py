"""Audio to names: query a matcher while audio comes, and once more when music ends.

A query has the last seconds while a known track plays, and all the audio without a name, up to
`max_query`, while none does: music that is too faint to be certain of in ten seconds becomes
certain in thirty. The label says how often (`stream.stages.query_times`). The matcher with warp
search, which costs ten times as much, is given the same music once, and only where the plain one
finds nothing.

Another piece that is made of a track's loop is no match, but a share (`stream.stages.shares`).

A budget bounds what all of this costs (`stream.stages.work_budget`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, Strict

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.settings import EDGE
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision, Match, Segment, Share
from stream.load import Load
from stream.ranges import Sample
from stream.session import Session, Sessions, Stage
from stream.stages.landmark_buffer import LandmarkBuffer, SharedLandmarks, extract_of
from stream.stages.matchers import Matchers
from stream.stages.paid_queries import PaidQueries
from stream.stages.playings import Playing, PlayingRules, Playings
from stream.stages.query_times import IdentifySettings, QueryState
from stream.stages.shares import Shares

if TYPE_CHECKING:
    from fingerprint.matching.base import Matcher
    from fingerprint.matching.matcher import TrackMatch
    from stream.session import Item
    from stream.stages.matchers import MatchersOf
    from stream.stages.work_budget import Kind, WorkBudget

WITH_MUSIC = ("music", "speech_over_music")


@dataclass(slots=True)
class IdentifyState:
    """A station's queries, landmarks, playings and shares; `end` is that of the last decision.

    `shared` are its latest landmarks for the stage `repeats`.

    All of it begins anew after a break in the audio, and `matchers` are chosen then.
    """

    matchers: Matchers
    buffer: LandmarkBuffer
    query: QueryState
    end: int = 0
    playings: Playings = field(default_factory=Playings)
    shares: Shares = field(default_factory=Shares)
    shared: SharedLandmarks | None = None

    @classmethod
    def begin(cls, matchers: Matchers, start: int) -> IdentifyState:
        """Return the state where audio begins."""
        buffer = LandmarkBuffer(landmarks=Landmarks.none(start))
        return cls(matchers, buffer, QueryState.begin(start))

    @property
    def playing(self) -> bool:
        """Whether a known track plays."""
        return bool(self.playings.open)


@dataclass(frozen=True, slots=True)
class IdentifyPart:
    """The same in a snapshot, without the audio, and with packed landmarks."""

    end: Sample
    query: QueryState
    playings: Annotated[list[Playing], Field(max_length=1000)]
    over: Annotated[list[Playing], Field(max_length=1000)]
    shares: Annotated[list[Share], Field(max_length=1000)]
    audio_from: Sample
    # Half a minute of music has 16 kB.
    landmarks: Annotated[str, Strict(), Field(max_length=1 << 20)]


class Identify(Stage):
    """Name the music of every station, whatever its label.

    Queries are due when a decision ends, so that neither the size of chunks nor a restart changes
    them. An answer is published at once, and once more as final when the track is over.

    Parameters
    ----------
    matchers_of : callable
        Chooses the matchers of each station where its audio begins; see `for_all`.
    settings : IdentifySettings
        When to query it.
    share_landmarks : bool
        Whether `repeats` may use its landmarks: only if the matchers extract airsift's own.
    load : Load, optional
        What is left out while the machine is too slow; without it, nothing is.
    budget : WorkBudget, optional
        What the queries of a station may cost; without it, anything.
    """

    name = "identify"

    def __init__(
        self,
        matchers_of: MatchersOf,
        settings: IdentifySettings,
        *,
        share_landmarks: bool = False,
        load: Load | None = None,
        budget: WorkBudget | None = None,
    ) -> None:
        self.sessions = Sessions()
        self.matchers_of = matchers_of
        self.settings = settings
        self.share_landmarks = share_landmarks
        self.load = load or Load()
        self.paid = PaidQueries(budget)
        self.rules = PlayingRules(settings.tolerance, settings.shortest, held=2 * settings.query)

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the matches that become known behind (of a break: before) each.

        The audio is at the model's rate, and comes before the decisions about it.
        """
        out: list[Item] = []
        for item in items:
            session = self.sessions[item.station]
            if self.load.skips_identify:
                out += [*self._leave_out(session, item), item]
                continue
            state = session.identify
            if state is None and isinstance(item, AudioChunk | Decision | Segment):
                matchers = self.matchers_of(item.station)
                if matchers is not None:
                    state = session.identify = IdentifyState.begin(matchers, item.start)
                    self._share_landmarks(session)
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
                    out += self._query_rest(state, item, item.start)
                    out += self._finish(state)
                    session.identify = session.landmarks = None
                    if isinstance(item, EndOfStream):
                        session.work = None
                    out.append(item)
                case _:
                    out.append(item)
        return out

    def _leave_out(self, session: Session, item: Item) -> list[Match | Share]:
        """End what is identified, as at a break: the machine is too slow for now."""
        if isinstance(item, AudioChunk):
            self.load.skipped["identify_s"] += len(item.samples) / item.rate
        state, session.identify, session.landmarks = session.identify, None, None
        return self._finish(state) if state is not None else []

    def _finish(self, state: IdentifyState) -> list[Match | Share]:
        """End what plays and what is shared."""
        out: list[Match | Share] = [*state.playings.finish()]
        return out + state.shares.finish(state.playings.spans, self.settings.shortest)

    def oldest(self, session: Session, sample: int) -> int:
        """Return the first sample that a later query may need."""
        if session.identify is None or not session.identify.buffer.audio:
            return sample
        buffer = session.identify.buffer
        return min(sample, max(buffer.audio[0].start, buffer.audio_from))

    def snapshot(self, session: Session) -> IdentifyPart | None:
        """Return what `restore` needs besides the audio.

        It holds the landmarks that later queries may be about: 4 kB while a track is known, up to
        12 kB while none is (`max_query` of 30 s).
        """
        state = session.identify
        if state is None:
            return None
        return IdentifyPart(
            state.end,
            replace(state.query),
            [replace(each) for each in state.playings.open],
            [replace(each) for each in state.playings.over],
            list(state.shares.open),
            state.buffer.audio_from,
            state.buffer.landmarks.pack(),
        )

    def restore(self, session: Session, part: IdentifyPart) -> None:
        matchers = self.matchers_of(session.station)
        if matchers is None:
            return
        session.identify = IdentifyState(
            matchers,
            LandmarkBuffer(part.audio_from, Landmarks.unpack(part.landmarks)),
            replace(part.query),
            part.end,
            Playings(*([replace(each) for each in some] for some in (part.playings, part.over))),
            Shares(list(part.shares)),
        )
        self._share_landmarks(session)

    def _share_landmarks(self, session: Session) -> None:
        if self.share_landmarks and session.identify is not None:
            shared = SharedLandmarks(session.identify.query.start)
            session.landmarks = session.identify.shared = shared

    def _segment(self, state: IdentifyState, segment: Segment) -> list[Match | Share]:
        query = state.query
        has_music = segment.label in WITH_MUSIC
        if has_music == (query.music is not None):
            return []
        if has_music:
            query.music_begins(segment.start, playing=state.playing)
            return []
        out = self._query_rest(state, segment, segment.start)
        query.music = None
        return out

    def _decision(self, state: IdentifyState, decision: Decision) -> list[Match | Share]:
        state.end, query = decision.end, state.query
        if not query.is_due(decision.end, self.settings, playing=state.playing):
            if query.short_is_due(decision.end, self.settings, playing=state.playing):
                query.short = decision.end
                return self._query(state, decision, decision.end - EDGE, short=True)
            return []
        query.asked = decision.end
        out = self._query(state, decision, decision.end - EDGE)
        # Twice the interval without the track means it is over, whatever follows it.
        return out + state.playings.finish(before=decision.end - 2 * self.settings.interval)

    def _query_rest(
        self, state: IdentifyState, cause: Segment | Discontinuity | EndOfStream, end: int
    ) -> list[Match | Share]:
        """Query what has no name where music or the audio ends."""
        if state.query.nameless(end) < self.settings.shortest:
            return []
        return self._query(state, cause, end)

    def _query(
        self,
        state: IdentifyState,
        cause: Decision | Segment | Discontinuity | EndOfStream,
        end: int,
        *,
        short: bool = False,
    ) -> list[Match | Share]:
        """Query the audio up to `end`; return matches that are new, and shares that are over.

        A short query has the last seconds only. If it finds a track, the long one follows: it finds
        where the track began.
        """
        if isinstance(cause, Discontinuity | EndOfStream):
            audio_end = certain = cause.start
        else:
            audio_end, certain = state.end, state.end - EDGE
        buffer, query = state.buffer, state.query
        buffer.extend(extract_of(state.matchers.plain), min(end, certain), audio_end, state.shared)
        buffer.drop_audio(buffer.landmarks.end - EDGE)
        end = min(end, buffer.landmarks.end)
        start = query.from_sample(end, self.settings, playing=state.playing)
        # The audio of a track that is over is in no later query, or it would be found again.
        start = max(start, state.playings.ended)
        # While a track plays, its landmarks stay: all of them may be needed to match it again.
        longest = max(query.start, end - self.settings.longest)
        buffer.drop_landmarks(longest if state.playing else start)
        out: list[Match | Share] = []
        before = buffer.landmarks.start
        out += state.shares.finish(state.playings.spans, self.settings.shortest, before)
        state.shares.cut(state.playings.forget(before))
        if end - start < self.settings.shortest:
            return out
        session = self.sessions[cause.station]
        self.paid.fill(session, audio_end)
        answers: list[TrackMatch] = []
        shares: list[TrackMatch] = []
        if short:
            recent = buffer.landmarks.between(
                max(start, query.known, end - self.settings.short_query), end
            )
            if self.paid.may(session, "short"):
                answers = self.paid.match(session, "short", state.matchers.plain, recent)
            if not answers:
                return out
        # What confirms a track that plays is short too, and goes without as late.
        kind: Kind = "short" if state.playing else "long"
        answers = self._answers(state, cause, kind, start, end, shares) or answers
        for share in shares:
            state.playings.hold(share, self.rules)
            state.shares.add(cause.station, share)
        for answer in answers:
            # In a few seconds of a loop nothing tells the track from another piece.
            plays = state.playings.is_playing(answer, self.rules)
            if plays or not state.shares.explain(answer):
                out += state.playings.add(cause.station, answer, self.rules)
        query.known = max(query.known, state.playings.known)
        return out

    def _answers(
        self,
        state: IdentifyState,
        cause: Decision | Segment | Discontinuity | EndOfStream,
        kind: Kind,
        start: int,
        end: int,
        shares: list[TrackMatch],
    ) -> list[TrackMatch]:
        """Query [start, end); then its music alone, then more, where that gives nothing.

        What no answer explains is left to the matcher with warp search, when that is due. What the
        audio shares with tracks is added to `shares`.
        """

        def ask(matcher: Matcher, first: int, *, kind: Kind = kind) -> list[TrackMatch]:
            return self.paid.match(session, kind, matcher, landmarks.between(first, end), shares)

        session = self.sessions[cause.station]
        query, landmarks = state.query, state.buffer.landmarks.between(0, end)
        plain, warping = state.matchers.plain, state.matchers.warping
        affordable = self.paid.may(session, kind)
        answers = ask(plain, start) if affordable else []
        music = query.music or 0
        if affordable and not answers and start < music <= end - self.settings.shortest:
            answers = ask(plain, music)
        # Outside music the track has probably ended, and its past would only blur its end.
        earliest = max(landmarks.start, state.playings.ended)
        if affordable and not answers and query.music is not None and earliest < start:
            answers = ask(plain, earliest)
        explained = max((answer.query_end for answer in answers), default=start)
        if answers and end - explained < self.settings.shortest:
            query.warped = False
            return answers
        last = not isinstance(cause, Decision)
        if warping is None or not query.warp_is_due(
            end, self.settings, playing=state.playing, last=last
        ):
            return answers
        if self.load.skips_warp_search:
            self.load.skipped["warp_searches"] += 1
            return answers
        start = min(max(query.searched, query.known), end - self.settings.query)
        start = max(start, state.playings.ended)
        query.searched = end
        if not self.paid.may(session, "warp"):
            return answers
        found = ask(warping, start, kind="warp")
        found = [answer for answer in found if answer.query_end > explained]
        if found:
            query.warped = any(answer.speed != 1 or answer.pitch != 0 for answer in found)
        return answers + found
