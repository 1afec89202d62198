"""Decisions to segments, on line.

A final decision counts for the middle of its window, or for the boundary frames around it where the
network has them and the window is whole. Their log odds, interpolated to cells of equal length, are
the evidence of a search for the likeliest labels (`stream.stages.viterbi`). Its changes are the
boundaries::

    speech   ████████████▌               log odds of speech and of music, in cells
    music                ▐██████████
    label    speech      :music          one change, dated where it explains both best

A change has to gain evidence. Therefore a short or doubtful deviation changes no label, a long or
clear one does, and its date is where the evidence turns, not where it was noticed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from stream.audio import Discontinuity, EndOfStream
from stream.events import VOICE_SURE, Decision, Label, Segment, VoiceLabel
from stream.ranges import Number, Rate, Sample
from stream.session import Session, Sessions, Stage
from stream.stages.viterbi import STATES, Change, Costs, Search

if TYPE_CHECKING:
    from stream.session import Item

LABELS: dict[tuple[bool, bool], Label] = {
    (True, False): "speech",
    (False, True): "music",
    (True, True): "speech_over_music",
    (False, False): "other",
}


# Evidence in a cell is at most this, in nats: no short event can outweigh all around it.
MAX_LOG_ODDS = 5.0
# Evidence is counted in whole thousandths of a nat.
SCALE = 1000
# A change is final once every other explanation is worse by this share of a change's cost.
MARGIN = 0.5

# Of a sum: products of two published probabilities have so many, and hours of rounding errors none.
DECIMALS = 8
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
    change_cost : float > 0
        Evidence that a change of label must gain: log odds, in nats, times seconds.
    max_delay : int > min_length
        Samples after which a change in the likeliest labels is final, however doubtful.
    min_length : int > 0
        Minimum length of a segment, in samples; at least the step between two decisions.
    update : int > 0
        Samples between two publications of a segment that is still open.
    grid : int > 0
        Length of a cell in samples; boundaries fall on multiples of it.
    speech_level, music_level : float in (0, 1)
        Probability at a boundary, whose log odds count as zero. A network that is sure of speech in
        a window that is half speech has a level above one half; at one half, its segments would
        begin early and end late.
    """

    change_cost: float
    max_delay: int
    min_length: int
    update: int
    grid: int
    speech_level: float = 0.5
    music_level: float = 0.5

    def costs(self, rate: int) -> Costs:
        """Return the costs of the search, in cells at `rate`."""
        change = round(self.change_cost * SCALE * rate / self.grid)
        shortest = max(round(self.min_length / self.grid), 1)
        lag = max(round(self.max_delay / self.grid), shortest + 1)
        return Costs(change, round(MARGIN * change), shortest, lag)


@dataclass(slots=True)
class SmoothState:
    """What is remembered of one station between two breaks."""

    rate: Rate  # samples per second of all that follows
    start: Sample  # of the open segment
    search: Search
    last: tuple[Sample, Number, Number] | None = None  # the last frame: log odds, in `SCALE`
    published: Sample | None = None  # end of the open segment when it was last published
    sums: list[tuple[Sample, Sums]] = field(default_factory=list)  # up to each decision
    base: Sums = field(default_factory=lambda: [0.0] * N_SUMS)  # up to the open segment's start

    def copy(self) -> SmoothState:
        """Return a state that can change on its own."""
        return replace(self, search=self.search.copy(), sums=[*self.sums])


class Smooth(Stage):
    """Turn each station's decisions into segments that cover its audio without overlap.

    The first segment after a break begins with the first window there; the last one ends where
    the audio does. Published segments that are not final may change; final ones never.
    """

    name = "smooth"

    def __init__(self, settings: SmoothSettings) -> None:
        self.sessions = Sessions()
        self.settings = settings
        self._costs = cache(settings.costs)

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`: decisions followed, breaks preceded by the segments they complete."""
        out: list[Item] = []
        for item in items:
            session = self.sessions[item.station]
            if isinstance(item, Decision):
                out.append(item)
                if item.final:
                    out += self.decide(session, item)
                continue
            if isinstance(item, Discontinuity | EndOfStream):
                out += self.end(session, item.start)
            out.append(item)
        return out

    def snapshot(self, session: Session) -> SmoothState | None:
        return session.smooth

    def restore(self, session: Session, part: SmoothState) -> None:
        session.smooth = part.copy()

    def decide(self, session: Session, decision: Decision) -> list[Segment]:
        """Take a station's next final decision; return the segments that follow from it."""
        if session.smooth is None:
            cell = decision.start // self.settings.grid
            session.smooth = SmoothState(decision.rate, decision.start, Search(cell, cell))
        state = session.smooth
        middle = (decision.start + decision.end) // 2
        p_speech, p_music = decision.p_speech, decision.p_music
        odds = decision.voice_odds
        voice = [0.0, 0.0] if odds is None else [1.0, odds]
        _add(state, middle, [1.0, *_label_probabilities(p_speech, p_music), *voice])
        out: list[Segment] = []
        for at, *p in decision.boundary_frames or [(middle, p_speech, p_music)]:
            out += self._frame(decision.station, state, at, p)
        return out + self._update(decision.station, state)

    def end(self, session: Session, end: int) -> list[Segment]:
        """Return the segments of a station before a break at sample `end`."""
        state, session.smooth = session.smooth, None
        return [] if state is None else self._end(session.station, state, end)

    def _frame(self, station: str, state: SmoothState, at: int, p: list[float]) -> list[Segment]:
        """Take a frame: the evidence of the cells up to it is known now."""
        settings, grid = self.settings, self.settings.grid
        speech = log_odds(p[0], settings.speech_level)
        music = log_odds(p[1], settings.music_level)
        since, speech_then, music_then = state.last or (at, speech, music)
        search, half, costs = state.search, grid // 2, self._costs(state.rate)
        # The first frame is some seconds after the start: there is no evidence before it.
        search.cell = max(since // grid, search.cell)
        out: list[Segment] = []
        while (middle := search.cell * grid + half) <= at:
            if middle == at or at == since:
                evidence = round(speech), round(music)
            else:
                share = (middle - since) / (at - since)
                evidence = (
                    round(speech_then + share * (speech - speech_then)),
                    round(music_then + share * (music - music_then)),
                )
            label = search.label
            if changes := search.push(*evidence, costs):
                out += self._changed(station, state, label, changes)
        state.last = at, speech, music
        return out

    def _changed(
        self, station: str, state: SmoothState, label: int | None, changes: list[Change]
    ) -> list[Segment]:
        """Return the segments that end with changes; the first of them has `label`."""
        out: list[Segment] = []
        for cell, following in changes:
            assert label is not None  # it is decided before any change
            out.append(self._final(station, state, label, cell * self.settings.grid))
            label = following
        return out

    def _end(self, station: str, state: SmoothState, end: int) -> list[Segment]:
        out, grid = list[Segment](), self.settings.grid
        search, costs = state.search, self._costs(state.rate)
        if state.last is not None:  # what follows the last frame is taken to be like it
            _, speech, music = state.last
            last = min((end - grid // 2 - 1) // grid, search.cell + costs.shortest - 1)
            while search.cell <= last:
                before = search.label
                changes = search.push(round(speech), round(music), costs)
                out += self._changed(station, state, before, changes)
        label, rest = search.begin(), search.finish()
        out += self._changed(station, state, label, rest)
        return [*out, self._final(station, state, rest[-1][1] if rest else label, end)]

    def _update(self, station: str, state: SmoothState) -> list[Segment]:
        """Return the open segment, if it is time to publish it."""
        label, end = state.search.label, state.search.open_end() * self.settings.grid
        _forget_sums(state, state.search.cell * self.settings.grid - self.settings.max_delay)
        if label is None or (
            end - (state.start if state.published is None else state.published)
            < (self.settings.min_length if state.published is None else self.settings.update)
        ):
            return []
        state.published = end
        return [self._segment(station, state, label, end, final=False)]

    def _final(self, station: str, state: SmoothState, label: int, end: int) -> Segment:
        segment = self._segment(station, state, label, end, final=True)
        state.base = _sums_before(state, end)
        state.start, state.published = end, None
        return segment

    def _segment(
        self, station: str, state: SmoothState, state_index: int, end: int, *, final: bool
    ) -> Segment:
        start, label = state.start, LABELS[STATES[state_index]]
        sums = [b - a for a, b in zip(state.base, _sums_before(state, end), strict=True)]
        mean = sums[1 + list(LABELS.values()).index(label)] / max(sums[0], 1)
        score = min(max(mean, 0.0), 1.0)  # differences of sums are exact to a few bits only
        voice, voice_score = _voice(*sums[-2:]) if label == "speech" else (None, None)
        return Segment(
            station, start, end, state.rate, None, label, score, final, voice, voice_score
        )


@lru_cache(maxsize=4096)  # probabilities have four decimals, and mostly lie near 0 and 1
def log_odds(p: float, level: float) -> float:
    """Return log odds in units of 1 / `SCALE`, zero where `p` is `level`, within the limits."""
    limit = MAX_LOG_ODDS * SCALE
    p = min(max(p, 1e-12), 1.0 - 1e-12)  # beyond the limit for any level
    odds = p * (1.0 - level) / ((1.0 - p) * level)
    return float(round(min(max(SCALE * math.log(odds), -limit), limit)))


def _forget_sums(state: SmoothState, before: int) -> None:
    """Forget the sums before the next possible boundary, except the last."""
    while len(state.sums) > 1 and state.sums[1][0] < before:
        state.sums.pop(0)


def _add(state: SmoothState, at: int, values: Sequence[float]) -> None:
    before = state.sums[-1][1] if state.sums else state.base
    # Sums are round already, and rounding takes longer than all else here.
    sums = [round(a + b, DECIMALS) if b else a for a, b in zip(before, values, strict=True)]
    state.sums.append((at, sums))


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
