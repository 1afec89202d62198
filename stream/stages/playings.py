"""From answers to playings: each time that a track plays becomes one match with one name.

A query takes the strongest track and knows nothing of the queries before it. Several tracks may
explain the same audio: copies of one recording, an edit, or ten tracks that open with one jingle.
So the answers are joined here, by these laws:

- A playing keeps its name while its track, or another copy of its recording, explains the audio.
- Where several recordings explain an answer equally well, none of them is named, until one of them
  explains more than the others, or until they have done so for `PlayingRules.held`.
- A playing that is over stays over. What a later query says of the same audio is dropped; only
  audio behind its end may begin another playing. So no id is final twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fingerprint.settings import SAMPLE_RATE
from stream.events import Alternative, Match
from stream.ranges import Flag, Sample, Text
from stream.stages.track_fields import track_fields

if TYPE_CHECKING:
    from fingerprint.matching.matcher import TrackMatch

# Copies of a recording begin and are cut at different places, so positions in two of them agree
# within this only.
_COPY_TOLERANCE = 15 * SAMPLE_RATE
# Silence by which two copies differ at their beginning.
_LEAD_IN = 2 * SAMPLE_RATE
# A track explains an answer if it covers this part of it.
_EXPLAINED = 0.75
# A track that is named when it is over, since others explain it too, was played by this part.
_WHOLE = 0.8


@dataclass(frozen=True, slots=True)
class PlayingRules:
    """When answers are one playing, in samples.

    Parameters
    ----------
    tolerance : int >= 0
        Two answers are one playing of a track if its positions agree within this.
    shortest : int > 0
        Audio behind the end of a playing that may begin another one of the same recording.
    held : int > 0
        Audio that several recordings must explain until the strongest of them is named.
    """

    tolerance: int
    shortest: int
    held: int


@dataclass(slots=True)
class Playing:
    """One time that a track plays.

    Parameters
    ----------
    match : Match
        What is published of it; not final while it may go on.
    recording : str
        What its track shares with copies of it.
    named : bool
        Whether it is published. Otherwise other recordings explain its audio as well.
    held : int >= 0
        Up to here its loop goes on. It is not over, but does not reach so far either, unless its
        own sound follows.
    """

    match: Match
    recording: Text
    named: Flag = True
    held: Sample = 0


@dataclass(slots=True)
class Playings:
    """The playings of one station.

    Parameters
    ----------
    open : list of Playing
        Those that may go on.
    over : list of Playing
        Those that were published as final, while a query may still cover their audio.
    """

    open: list[Playing] = field(default_factory=list)
    over: list[Playing] = field(default_factory=list)

    @property
    def known(self) -> int:
        """Up to here the audio has a name."""
        return max((each.match.end for each in [*self.open, *self.over] if each.named), default=0)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where tracks play that have a name."""
        named = [each.match for each in [*self.open, *self.over] if each.named]
        return [(match.start, match.end) for match in named]

    @property
    def ended(self) -> int:
        """No track that is over plays behind this sample."""
        return max((each.match.end for each in self.over), default=0)

    def add(self, station: str, answer: TrackMatch, rules: PlayingRules) -> list[Match]:
        """Add an answer; return its match if it is new, and nothing if it confirms a playing.

        Parameters
        ----------
        station : str
            The station.
        answer : TrackMatch
            The answer, with the other tracks that explain the same audio.
        rules : PlayingRules
            What is one playing.
        """
        known = self._find(self.open, answer, rules)
        if known is None or not known.named:
            # The track that plays keeps its name, although another explains more.
            for other in self._explanations(answer):
                playing = self._find(self.open, other, rules)
                if playing is not None and playing.named:
                    _extend(playing, other)
                    return []
        if known is not None and known.named:
            _extend(known, answer)
            return []
        known = self._hold(station, answer, rules)
        if known is None:
            return []
        for tie in answer.ties:
            self._hold(station, tie, rules)
        if answer.ties and known.match.end - known.match.start < rules.held:
            return []
        known.match = replace(known.match, alternatives=_alternatives(answer))
        return [self._name(known)]

    def hold(self, share: TrackMatch, rules: PlayingRules) -> None:
        """Hold the playing that a share is a part of, if there is one: it may go on behind it.

        A song may have a break that is nothing but its loop.
        """
        for playing in self.open:
            if playing.named and _is_at_its_place(playing.match, share, rules.tolerance):
                playing.held = max(playing.held, share.query_end)

    def is_playing(self, answer: TrackMatch, rules: PlayingRules) -> bool:
        """Return whether the track of an answer plays already, under its name."""
        return any(
            each.named and _is_at_its_place(each.match, answer, rules.tolerance)
            for each in self.open
        )

    def finish(self, before: int | None = None) -> list[Match]:
        """End the playings that were over before a sample, or all; return them as final."""

        def is_over(playing: Playing) -> bool:
            return before is None or max(playing.match.end, playing.held) < before

        ended = [each for each in self.open if is_over(each)]
        self.open = [each for each in self.open if not is_over(each)]
        # Of several that explain the same audio, one that was played as a whole is the right one.
        whole = [each for each in ended if not each.named and _is_whole(each)]
        final = [each for each in ended if each.named]
        for each in sorted(whole, key=lambda each: -each.match.score):
            if not any(_same_audio(each, other) for other in final):
                each.named = True
                final.append(each)
        for each in final:
            each.match = replace(each.match, final=True)
        self.over += final
        return [each.match for each in final]

    def forget(self, before: int) -> list[tuple[int, int]]:
        """Forget the playings that were over before a sample: no later query covers them.

        Returns
        -------
        list of tuple of int
            Their spans.
        """
        gone = [each.match for each in self.over if each.match.end <= before]
        self.over = [each for each in self.over if each.match.end > before]
        return [(match.start, match.end) for match in gone]

    def _find(
        self, playings: list[Playing], answer: TrackMatch, rules: PlayingRules
    ) -> Playing | None:
        """Return the playing that an answer belongs to: of several, the one that covers most."""
        found = [
            each
            for each in playings
            if each.recording == _recording(answer) and _goes_on(each, answer, rules.tolerance)
        ]
        span = _span(answer)
        return max(
            found, key=lambda each: _common(span, (each.match.start, each.match.end)), default=None
        )

    def _explanations(self, answer: TrackMatch) -> list[TrackMatch]:
        """Return the other tracks that explain nearly all of an answer."""
        length = answer.query_end - answer.query_start
        return [
            rival.match
            for rival in answer.rivals
            if _common(_span(rival.match), _span(answer)) >= _EXPLAINED * length
        ]

    def _behind_over(self, answer: TrackMatch, rules: PlayingRules) -> TrackMatch | None:
        """Return what lies behind the playings that are over; None if that is too little."""
        heard = {_recording(each) for each in (answer, *self._explanations(answer))}
        ends = [
            each.match.end
            for each in self.over
            if each.recording in heard and each.match.end > answer.query_start
        ]
        if not ends:
            return answer
        start = max(ends)
        if answer.query_end - start < rules.shortest:
            return None
        passed = round((start - answer.query_start) * answer.speed)
        return replace(answer, query_start=start, track_start=answer.track_start + passed)

    def _hold(self, station: str, answer: TrackMatch, rules: PlayingRules) -> Playing | None:
        """Add an answer without a name as yet; return its playing, None if it is over."""
        behind = self._behind_over(answer, rules)
        if behind is None:
            return None
        known = self._find(self.open, answer, rules)
        if known is None:
            known = _playing(station, behind)
            self.open.append(known)
        else:
            _extend(known, behind)
        return known

    def _name(self, playing: Playing) -> Match:
        """Name a playing; drop the others that explained its audio."""
        playing.named = True
        self.open = [
            each
            for each in self.open
            if each is playing or each.named or not _same_audio(each, playing)
        ]
        return playing.match


def _recording(answer: TrackMatch) -> str:
    return answer.recording or answer.track


def _goes_on(playing: Playing, answer: TrackMatch, tolerance: int) -> bool:
    """Return whether an answer about the same recording is about the same playing."""
    match = playing.match
    # In a loop the answer may be any repeat: matches that overlap are one playing.
    if answer.query_start < match.end and match.start < answer.query_end:
        return True
    passed = round((answer.query_start - match.start) * answer.speed)
    apart = abs(answer.track_start - match.track_start - passed)
    if answer.track == match.track:
        # It may be found again in another repeat, but not at its beginning: there it begins again.
        return apart <= tolerance or answer.track_start > _LEAD_IN
    # The recording goes on behind the place where it was lost, or has begun again.
    lost = match.track_start + round((match.end - match.start) * answer.speed)
    return apart <= _COPY_TOLERANCE and answer.track_start >= lost - _LEAD_IN


def _is_at_its_place(match: Match, answer: TrackMatch, tolerance: int) -> bool:
    """Return whether an answer overlaps a match, and continues it in the track."""
    passed = round((answer.query_start - match.start) * answer.speed)
    apart = abs(answer.track_start - match.track_start - passed)
    common = _common(_span(answer), (match.start, match.end))
    return answer.track == match.track and apart <= tolerance and common > 0


def _extend(playing: Playing, answer: TrackMatch) -> None:
    """Extend a playing by an answer. Its start is fixed once it has a name: the id has it."""
    match = playing.match
    end, score = max(match.end, answer.query_end), max(match.score, answer.score)
    playing.match = replace(match, end=end, score=score)
    if not playing.named and answer.query_start < match.start and answer.track == match.track:
        playing.match = replace(
            playing.match, start=answer.query_start, track_start=answer.track_start
        )


def _playing(station: str, answer: TrackMatch) -> Playing:
    match = Match(
        **track_fields(station, answer),
        final=False,
        track_duration=answer.duration or None,
        extra=answer.extra,
        alternatives=_alternatives(answer),
    )
    return Playing(match, _recording(answer), named=False)


def _alternatives(answer: TrackMatch) -> tuple[Alternative, ...]:
    return tuple(Alternative(n.track, n.title, n.artist) for n in answer.alternatives)


def _is_whole(playing: Playing) -> bool:
    length = playing.match.end - playing.match.start
    return 0 < _WHOLE * (playing.match.track_duration or 0) <= length


def _same_audio(a: Playing, b: Playing) -> bool:
    """Return whether two playings share half of the shorter one."""
    x, y = ((each.match.start, each.match.end) for each in (a, b))
    return _common(x, y) > 0.5 * min(x[1] - x[0], y[1] - y[0])


def _span(answer: TrackMatch) -> tuple[int, int]:
    return answer.query_start, answer.query_end


def _common(a: tuple[int, int], b: tuple[int, int]) -> int:
    """Return the samples that two intervals share; negative between two apart."""
    return min(a[1], b[1]) - max(a[0], b[0])
