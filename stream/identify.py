"""Music to names: ask a matcher while the music plays, and once more when it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioChunk, Cut
from stream.events import Decision, Match, Segment

if TYPE_CHECKING:
    from fingerprint.matcher import Matcher, TrackMatch

WITH_MUSIC = ("music", "speech_over_music")


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
        Longest audio in one question.
    shortest : int > 0
        Music that ends sooner than this is not asked about.
    tolerance : int >= 0
        Two answers are the same playing of a track if its places agree within this.
    thorough_every : int > 0
        The thorough matcher, if there is one, gets every so-manieth question about the same
        music, because it costs much more.
    """

    first: int
    interval: int
    query: int
    shortest: int
    tolerance: int
    thorough_every: int = 1


@dataclass(slots=True)
class _Music:
    """The music that a station is playing, over any number of adjoining segments."""

    start: int
    next_query: int
    end: int | None = None  # where its last segment closed; None while one is open
    found: bool = False
    asked: int = 0
    changed: bool = False  # whether only the thorough matcher knew it last time


@dataclass(slots=True)
class _Station:
    audio: deque[AudioChunk] = field(default_factory=deque)
    music: _Music | None = None
    playing: list[Match] = field(default_factory=list)  # published, not final yet


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
                self._stations.setdefault(item.station, _Station()).audio.append(item)
        out: list[Decision | Segment | Match | Cut] = []
        for event in judged:
            state = self._stations.setdefault(event.station, _Station())
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
        """Return the first sample of `station` that a later question may be about."""
        state = self._stations.get(station)
        return state.audio[0].start if state is not None and state.audio else None

    def snapshot(self, station: str) -> dict[str, Any] | None:
        """Return what `restore` needs, besides the audio from `oldest` on, as JSON's types."""
        state = self._stations.get(station)
        if state is None:
            return None
        music = None if state.music is None else asdict(state.music)
        return {"music": music, "playing": [asdict(match) for match in state.playing]}

    def restore(self, station: str, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        music = None if snapshot["music"] is None else _Music(**snapshot["music"])
        playing = [Match(**match) for match in snapshot["playing"]]
        self._stations[station] = _Station(music=music, playing=playing)

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
            state.music = music = _Music(segment.start, segment.start + self.settings.first)
        if segment.final:
            music.end = segment.end
        return out

    def _decision(self, state: _Station, decision: Decision) -> list[Match]:
        music = state.music
        out: list[Match] = []
        if music is not None and music.end is None and decision.end >= music.next_query:
            music.next_query = decision.end + self.settings.interval
            out = self._ask(state, music, decision, decision.end)
            # Twice the interval without the track means it is over, whatever follows it.
            stale = decision.end - 2 * self.settings.interval
            out += _finish(state, [match for match in state.playing if match.end < stale])
        keep = decision.end - self.settings.query - self.settings.interval
        while state.audio and state.audio[0].end <= keep:
            state.audio.popleft()
        return out

    def _cut(self, state: _Station, cut: Cut) -> list[Match]:
        out = []
        if state.music is not None:
            out = self._music_ends(state, cut, state.music.end or cut.start)
        # Audio after the cut may have come in the same push.
        while state.audio and state.audio[0].start < cut.start:
            state.audio.popleft()
        return out

    def _music_ends(self, state: _Station, cause: Segment | Cut, end: int) -> list[Match]:
        music = state.music
        assert music is not None
        out = []
        if not music.found and end - music.start >= self.settings.shortest:
            out = self._ask(state, music, cause, end)
        state.music = None
        return out + _finish(state, list(state.playing))

    def _ask(
        self, state: _Station, music: _Music, cause: Decision | Segment | Cut, end: int
    ) -> list[Match]:
        """Ask about the music up to `end`; return the matches that are new."""
        start = max(music.start, end - self.settings.query)
        samples, start = _samples(state.audio, start, end)
        if len(samples) < self.settings.shortest:
            return []
        out = []
        for answer in self._answers(music, samples, last=not isinstance(cause, Decision)):
            music.found = True
            match = Match(
                cause.station,
                start + answer.query_start,
                start + answer.query_end,
                answer.rate,
                None,
                answer.track,
                answer.title,
                answer.artist,
                answer.track_start,
                answer.score,
                final=False,
            )
            known = self._same_playing(state.playing, match, answer.speed)
            if known is None:
                state.playing.append(match)
                out.append(match)
            else:
                state.playing[known] = replace(
                    state.playing[known],
                    end=max(match.end, state.playing[known].end),
                    score=max(match.score, state.playing[known].score),
                )
        return out

    def _answers(
        self, music: _Music, samples: NDArray[np.float32], *, last: bool
    ) -> list[TrackMatch]:
        """Ask the matcher whose turn it is."""
        music.asked += 1
        due = last or music.changed or music.asked % self.settings.thorough_every == 0
        thorough = self.thorough if due else None
        matcher = thorough or self.matcher
        answers = matcher.match(matcher.extract(samples))
        music.changed = thorough is not None and any(
            answer.speed != 1 or answer.pitch != 0 for answer in answers
        )
        return answers

    def _same_playing(self, playing: Sequence[Match], match: Match, speed: float) -> int | None:
        for index, known in enumerate(playing):
            if known.track != match.track:
                continue
            # Of a loop any repeat may be the answer: what overlaps is one playing all the same.
            expected = known.track_start + round((match.start - known.start) * speed)
            agrees = abs(match.track_start - expected) <= self.settings.tolerance
            if agrees or match.start < known.end:
                return index
        return None


def _finish(state: _Station, matches: Iterable[Match]) -> list[Match]:
    """Take matches off the list of those playing; return them as final."""
    done = list(matches)
    state.playing = [match for match in state.playing if match not in done]
    return [replace(match, final=True) for match in done]


def _samples(audio: Iterable[AudioChunk], start: int, end: int) -> tuple[NDArray[np.float32], int]:
    """Return the audio in [start, end) as far as it is still there, and its first sample."""
    heard = [c for c in audio if start < c.end and c.start < end]
    parts = [c.samples[max(start - c.start, 0) : end - c.start] for c in heard]
    first = min((max(start, c.start) for c in heard), default=start)
    return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), first
