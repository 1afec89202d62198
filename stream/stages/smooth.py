"""Decisions to segments, on line.

A final decision counts for the middle of its window, or for the boundary frames around it where the
network has them and the window is whole. Two hystereses (`stream.stages.hysteresis`) find when
speech and music begin and end; both together are the label. A label that lasts less than the
minimum length of a segment is given to its neighbours::

    speech   ████████████▌
    music              ▐██████████
    label    speech    :music          the overlap is too short: split in its middle
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from stream.audio import Discontinuity, EndOfStream
from stream.events import VOICE_SURE, Decision, Label, Segment, VoiceLabel
from stream.ranges import Flag, Number, Rate, Sample
from stream.session import Session, Sessions, Stage
from stream.stages.hysteresis import Hysteresis

if TYPE_CHECKING:
    from stream.session import Item

LABELS: dict[tuple[bool, bool], Label] = {
    (True, False): "speech",
    (False, True): "music",
    (True, True): "speech_over_music",
    (False, False): "other",
}


# What is summed: decisions, the probability of each label, windows that the voice network
# classified, and their log odds of a female voice.
N_SUMS = len(LABELS) + 3

Class = Literal["speech", "music"]
Sums = Annotated[list[Number], Field(min_length=N_SUMS, max_length=N_SUMS)]


@dataclass(frozen=True, slots=True)
class SmoothSettings:
    """How decisions become segments.

    Parameters
    ----------
    onset, offset : float in (0, 1), offset <= 0.5 <= onset
        Thresholds of the hystereses, on a scale on which the level is one half.
    min_length : int > 0
        Minimum length of a segment, in samples; at least the step between two decisions.
    update : int > 0
        Samples between two publications of a segment that is still open.
    grid : int > 0
        Boundaries fall on multiples of this many samples.
    speech_level, music_level : float in (0, 1)
        Probability at a boundary. A network that is sure of speech in a window that is half
        speech has a level above one half; at one half, its segments would begin early and end
        late.
    """

    onset: float
    offset: float
    min_length: int
    update: int
    grid: int
    speech_level: float = 0.5
    music_level: float = 0.5


@dataclass(slots=True)
class SmoothState:
    """What is remembered of one station between two breaks."""

    rate: Rate  # samples per second of all that follows
    speech: Hysteresis
    music: Hysteresis
    changes: list[tuple[Sample, Class, Flag]] = field(default_factory=list)  # not in `spans` yet
    present: dict[Class, Flag] = field(default_factory=dict)  # at the end of `spans`
    spans: list[tuple[Sample, Label]] = field(default_factory=list)  # (start, label); [0] is open
    published: Sample | None = None  # end of the open segment when it was last published
    sums: list[tuple[Sample, Sums]] = field(default_factory=list)  # up to each decision
    base: Sums = field(default_factory=lambda: [0.0] * N_SUMS)  # up to the open segment's start

    def copy(self) -> SmoothState:
        """Return a state that can change on its own."""
        return replace(
            self,
            speech=replace(self.speech),
            music=replace(self.music),
            changes=[*self.changes],
            present={**self.present},
            spans=[*self.spans],
            sums=[*self.sums],
        )


class Smooth(Stage):
    """Turn each station's decisions into segments that cover its audio without overlap.

    The first segment after a break begins with the first window there; the last one ends where
    the audio does. Published segments that are not final may change; final ones never.
    """

    name = "smooth"

    def __init__(self, settings: SmoothSettings) -> None:
        self.sessions = Sessions()
        self.settings = settings

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`: decisions followed, breaks preceded by the segments they complete."""
        out: list[Item] = []
        for item in items:
            session = self.sessions[item.station]
            if isinstance(item, Decision):
                out.append(item)
                if item.final:
                    out += self._decide(session, item)
                continue
            if isinstance(item, Discontinuity | EndOfStream) and session.smooth is not None:
                out += self._end(item.station, session.smooth, item.start)
                session.smooth = None
            out.append(item)
        return out

    def snapshot(self, session: Session) -> SmoothState | None:
        return session.smooth.copy() if session.smooth else None

    def restore(self, session: Session, part: SmoothState) -> None:
        session.smooth = part.copy()

    def _decide(self, session: Session, decision: Decision) -> list[Segment]:
        if session.smooth is None:
            session.smooth = self._begin(decision)
        state = session.smooth
        middle = (decision.start + decision.end) // 2
        p_speech, p_music = decision.p_speech, decision.p_music
        for at, *p in decision.boundary_frames or [(middle, p_speech, p_music)]:
            self._push_to(state, "speech", at, p[0], self.settings.speech_level)
            self._push_to(state, "music", at, p[1], self.settings.music_level)
        odds = decision.voice_odds
        voice = [0.0, 0.0] if odds is None else [1.0, odds]
        _add(state, middle, [1.0, *_label_probabilities(p_speech, p_music), *voice])
        watermark = min(state.speech.watermark, state.music.watermark)
        _apply(state, watermark)
        out = self._close(decision.station, state, watermark)
        return out + self._update(decision.station, state, watermark)

    def _push_to(self, state: SmoothState, name: Class, at: int, p: float, level: float) -> None:
        hysteresis = state.speech if name == "speech" else state.music
        change = hysteresis.push(at, rebiased(p, level), grid=self.settings.grid)
        if change is not None:
            state.changes.append((change[0], name, change[1]))

    def _begin(self, decision: Decision) -> SmoothState:
        s = self.settings
        return SmoothState(
            decision.rate,
            speech=Hysteresis(decision.start, s.onset, s.offset, s.min_length),
            music=Hysteresis(decision.start, s.onset, s.offset, s.min_length),
        )

    def _end(self, station: str, state: SmoothState, end: int) -> list[Segment]:
        if change := state.speech.finish(end):
            state.changes.append((change[0], "speech", change[1]))
        if change := state.music.finish(end):
            state.changes.append((change[0], "music", change[1]))
        _apply(state, end)
        out = self._close(station, state, end)
        return [*out, self._final(station, state, end)]

    def _close(self, station: str, state: SmoothState, watermark: int) -> list[Segment]:
        """Return the segments that end before a label which has lasted long enough."""
        out: list[Segment] = []
        shortest = self.settings.min_length
        spans = state.spans
        while True:
            ends = [start for start, _ in spans[1:]] + [watermark]
            lasting = [i for i in range(1, len(spans)) if ends[i] - spans[i][0] >= shortest]
            if not lasting:
                return out
            following = lasting[0]
            start, label = spans[0]
            next_start, next_label = spans[following]
            if label == next_label or spans[1][0] - start < shortest:
                spans[: following + 1] = [(start, next_label)]
                continue
            grid = self.settings.grid
            boundary = (spans[1][0] + next_start) // 2 // grid * grid
            out.append(self._final(station, state, boundary))
            spans[: following + 1] = [(boundary, next_label)]
            state.published = None

    def _update(self, station: str, state: SmoothState, watermark: int) -> list[Segment]:
        """Return the open segment, if it is time to publish it."""
        if not state.spans:
            return []
        start = state.spans[0][0]
        end = state.spans[1][0] if len(state.spans) > 1 else watermark
        if end - start < self.settings.min_length or (
            state.published is not None and end - state.published < self.settings.update
        ):
            return []
        state.published = end
        return [self._segment(station, state, end, final=False)]

    def _final(self, station: str, state: SmoothState, end: int) -> Segment:
        segment = self._segment(station, state, end, final=True)
        state.base = _sums_before(state, end)
        return segment

    def _segment(self, station: str, state: SmoothState, end: int, *, final: bool) -> Segment:
        start, label = state.spans[0]
        sums = [b - a for a, b in zip(state.base, _sums_before(state, end), strict=True)]
        mean = sums[1 + list(LABELS.values()).index(label)] / max(sums[0], 1)
        score = min(max(mean, 0.0), 1.0)  # differences of sums are exact to a few bits only
        voice, voice_score = _voice(*sums[-2:]) if label == "speech" else (None, None)
        return Segment(
            station, start, end, state.rate, None, label, score, final, voice, voice_score
        )


def rebiased(p: float, level: float) -> float:
    """Return a probability moved along the log odds so that `level` becomes one half."""
    on, off = p * (1.0 - level), (1.0 - p) * level
    return on / (on + off)


def _apply(state: SmoothState, watermark: int) -> None:
    """Move the changes that no other can precede any more into `spans`."""
    state.changes.sort(key=lambda change: change[0])
    while state.changes and state.changes[0][0] <= watermark:
        at, name, on = state.changes.pop(0)
        state.present[name] = on
        if len(state.present) < 2:
            continue
        label = LABELS[state.present["speech"], state.present["music"]]
        if state.spans and state.spans[-1][0] == at:
            state.spans.pop()
        if not state.spans or state.spans[-1][1] != label:
            state.spans.append((at, label))
    # Of the sums before the next possible boundary only the last is needed again.
    limit = state.spans[1][0] if len(state.spans) > 1 else watermark
    while len(state.sums) > 1 and state.sums[1][0] < limit:
        state.sums.pop(0)


def _add(state: SmoothState, at: int, values: Sequence[float]) -> None:
    before = state.sums[-1][1] if state.sums else state.base
    state.sums.append((at, [a + b for a, b in zip(before, values, strict=True)]))


def _sums_before(state: SmoothState, at: int) -> list[float]:
    earlier = [sums for when, sums in state.sums if when < at]
    return earlier[-1] if earlier else state.base


def _label_probabilities(p_speech: float, p_music: float) -> list[float]:
    return [
        (p_speech if speech else 1 - p_speech) * (p_music if music else 1 - p_music)
        for speech, music in LABELS
    ]


def _voice(windows: float, odds: float) -> tuple[VoiceLabel | None, float | None]:
    """Return the likelier voice and its probability, by the mean log odds of a female one."""
    if not windows:
        return None, None
    score = round(1 / (1 + math.exp(-abs(odds) / windows)), 3)  # as published
    if score < VOICE_SURE:
        return None, score
    return ("female" if odds > 0 else "male"), score
