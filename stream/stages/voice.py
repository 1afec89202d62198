"""Female or male: a second small network for windows of speech alone.

In each streak of decisions about whole windows for speech without music it classifies the third
window, which then holds little else, and every twentieth after it, so that it costs little::

    decisions   s s m m s s s s s s s s s s s s s s s s s s s s s s s s m s s s s
    classified              ^                                       ^         ^
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import SpecMismatch
from model.spec import COLUMN_FIELDS
from stream.audio import Discontinuity, EndOfStream
from stream.events import Decision
from stream.session import Session, Sessions, Stage
from stream.stages.classify import DECIMALS
from stream.stages.features import Columns

if TYPE_CHECKING:
    from model.backend import Classifier
    from model.spec import ModelSpec
    from model.units import Array
    from stream.session import Item

# What both networks must agree on to classify the same columns.
SHARED = (*COLUMN_FIELDS, "window_columns", "step_columns")
# Probabilities are kept at least this far from 0, where there are no odds.
MIN_PROBABILITY = 1e-4
FIRST, EVERY = 3, 20


@dataclass(slots=True)
class VoiceState:
    """A station's streak of speech, and the columns of the next window."""

    streak: int = 0  # decisions in a row for speech without music
    spans: list[Columns] = field(default_factory=list)


class Voice(Stage):
    """Add the odds of a female voice to the decisions about speech.

    Parameters
    ----------
    classifier : Classifier
        A network with the labels 'female' and 'male'.
    other : ModelSpec
        Of the network that made the decisions.

    Raises
    ------
    SpecMismatch
        The two networks take windows of other columns.
    """

    name = "voice"

    def __init__(self, classifier: Classifier, other: ModelSpec) -> None:
        spec = classifier.spec
        for name in SHARED:
            if getattr(spec, name) != getattr(other, name):
                raise SpecMismatch(
                    f"the voice model has {name}={getattr(spec, name)}, the other model has "
                    f"{getattr(other, name)}: name models of the same columns and windows"
                )
        self.sessions = Sessions()
        self.classifier = classifier
        self.window = spec.window_columns
        self.step = spec.step_columns
        self.hop = spec.hop

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the odds of the decisions whose window was classified."""
        out: list[Item] = []
        for item in items:
            session = self.sessions[item.station]
            if isinstance(item, Columns):
                session.voice = session.voice or VoiceState()
                session.voice.spans.append(item)
            elif isinstance(item, Decision) and item.final and session.voice is not None:
                item = self._decide(session.voice, item)
            elif isinstance(item, Discontinuity | EndOfStream):
                session.voice = None
            out.append(item)
        return out

    def snapshot(self, session: Session) -> int | None:
        return None if session.voice is None else session.voice.streak

    def restore(self, session: Session, part: int) -> None:
        session.voice = VoiceState(part)

    def _decide(self, state: VoiceState, decision: Decision) -> Decision:
        if decision.end - decision.start < self.window * self.hop:
            return decision  # where audio begins or ends
        first = decision.start // self.hop
        state.streak = state.streak + 1 if decision.p_speech > 0.5 > decision.p_music else 0
        if state.streak % EVERY == FIRST:
            window = _cut_out(state.spans, first, first + self.window)
            decision = replace(decision, voice_odds=self._odds(window))
        state.spans = _from(state.spans, first + windows_until_due(state.streak) * self.step)
        return decision

    def _odds(self, window: Array) -> float:
        """Return the log odds of a female voice, rounded as all that is decided by."""
        frames = self.classifier.embed(window[None])
        probabilities = self.classifier.decide(frames)[0].tolist()
        female, male = (max(round(p, DECIMALS), MIN_PROBABILITY) for p in probabilities)
        return round(math.log(female / male), DECIMALS)


def windows_until_due(streak: int) -> int:
    """Return how many windows after this one the next can be classified at the earliest.

    The columns before that window are needed no more.

    Parameters
    ----------
    streak : int >= 0
        Decisions in a row for speech, this one included.

    Returns
    -------
    int > 0
        At most `FIRST` + 1: the next window may end the streak, and the one after begin another.
    """
    return min((FIRST - streak - 1) % EVERY + 1, FIRST + 1)


def _from(spans: list[Columns], first: int) -> list[Columns]:
    """Drop the spans that end before column `first`."""
    return [span for span in spans if span.start + len(span.values) > first]


def _cut_out(spans: Sequence[Columns], first: int, last: int) -> Array:
    """Return the columns [first, last) [shape=(last - first, n_bins)]."""
    return np.concatenate(
        [
            span.values[max(first - span.start, 0) : max(last - span.start, 0)]
            for span in spans
            if span.start < last and span.start + len(span.values) > first
        ]
    )
