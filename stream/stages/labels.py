"""Labels of your own: a second network that looks at the windows of all final decisions.

Its labels are independent of each other, and of speech and music. Each is smoothed by itself, by
the same search as segments (`stream.stages.smooth`), as if it were speech and there were no music.
A stretch with the label is published beside the segments; time without it is not::

    segments   speech         :music                :speech
    applause               ████████
    advert                                 ███████████████████
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import SpecMismatch
from model.short import window_frames
from stream.audio import Discontinuity, EndOfStream
from stream.events import Decision, Labelled
from stream.ranges import Text
from stream.session import Session, Sessions, Stage
from stream.stages.classify import DECIMALS
from stream.stages.features import MAX_ROWS, Columns
from stream.stages.smooth import Smooth, SmoothSettings, SmoothState
from stream.stages.voice import SHARED

if TYPE_CHECKING:
    from model.backend import Classifier
    from model.spec import ModelSpec
    from model.units import Array
    from stream.events import Segment
    from stream.session import Item


@dataclass(frozen=True, slots=True)
class LabelsPart:
    """What a snapshot remembers: the search of each label that has had a decision."""

    smooth: dict[Text, SmoothState]


@dataclass(slots=True)
class LabelsState:
    """The columns of a station's next window, and the search of each label."""

    spans: list[Columns] = field(default_factory=list)
    smooth: dict[str, SmoothState] = field(default_factory=dict)


class OwnLabels(Stage):
    """Find the stretches of audio with labels of your own.

    Parameters
    ----------
    classifier : Classifier
        A network with any labels.
    other : ModelSpec
        Of the network that makes the decisions.
    smoothing : SmoothSettings
        As of the segments; the probability at a boundary is one half, because the levels there are
        those of another network.

    Raises
    ------
    SpecMismatch
        The two networks take windows of other columns.
    """

    name = "labels"

    def __init__(self, classifier: Classifier, other: ModelSpec, smoothing: SmoothSettings) -> None:
        spec = classifier.spec
        for name in SHARED:
            if getattr(spec, name) != getattr(other, name):
                raise SpecMismatch(
                    f"the model of your labels has {name}={getattr(spec, name)}, the model of "
                    f"speech and music has {getattr(other, name)}: train one on the same columns "
                    "and windows"
                )
        self.sessions = Sessions()
        self.classifier = classifier
        self._smooth = Smooth(replace(smoothing, speech_level=0.5, music_level=0.5))

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the stretches that follow from decisions and breaks."""
        probabilities = self._classify(self._windows(items))
        out: list[Item] = []
        for number, item in enumerate(items):
            session = self.sessions[item.station]
            if isinstance(item, Decision):
                out.append(item)
                out += self._decide(session, item, probabilities.get(number, ()))
                continue
            if isinstance(item, Discontinuity | EndOfStream):
                out += self._end(session, item.start)
            out.append(item)
        return out

    def snapshot(self, session: Session) -> LabelsPart | None:
        return None if session.labels is None else LabelsPart(session.labels.smooth)

    def restore(self, session: Session, part: LabelsPart) -> None:
        """Continue where `part` was the snapshot; labels of another network begin anew."""
        known = {
            label: part.smooth[label].copy()
            for label in self.classifier.spec.labels
            if label in part.smooth
        }
        session.labels = LabelsState(smooth=known)

    def _windows(self, items: Sequence[Item]) -> dict[int, Array]:
        """Return the columns of the windows of final decisions, by their place in `items`."""
        spec = self.classifier.spec
        found: dict[int, Array] = {}
        for number, item in enumerate(items):
            session = self.sessions[item.station]
            if isinstance(item, Columns):
                session.labels = session.labels or LabelsState()
                session.labels.spans.append(item)
            elif session.labels is None:
                continue
            elif isinstance(item, Decision) and item.final:
                spans, first = session.labels.spans, item.start // spec.hop
                # The audio of a window does not come again after a restart if the stream ended
                # there.
                if spans and spans[0].start <= first:
                    found[number] = _cut_out(spans, first, -(-item.end // spec.hop))
                following = (first // spec.step_columns + 1) * spec.step_columns
                session.labels.spans = [
                    span for span in spans if span.start + len(span.values) > following
                ]
            elif isinstance(item, Discontinuity | EndOfStream):
                session.labels.spans = []
        return found

    def _classify(self, windows: dict[int, Array]) -> dict[int, list[float]]:
        """Return the probability of each label in each window."""
        by_length: dict[int, list[int]] = {}
        for number, columns in windows.items():
            by_length.setdefault(len(columns), []).append(number)
        out: dict[int, list[float]] = {}
        for numbers in by_length.values():
            for first in range(0, len(numbers), MAX_ROWS):
                rows = numbers[first : first + MAX_ROWS]
                frames = window_frames(self.classifier, np.stack([windows[row] for row in rows]))
                for row, p in zip(rows, self.classifier.decide(frames).tolist(), strict=True):
                    out[row] = [round(each, DECIMALS) for each in p]
        return out

    def _decide(
        self, session: Session, decision: Decision, probabilities: Sequence[float]
    ) -> list[Labelled]:
        out: list[Labelled] = []
        state = session.labels
        if state is None:
            return out
        for label, p in zip(self.classifier.spec.labels, probabilities, strict=False):
            alone = Session(session.station, smooth=state.smooth.get(label))
            evidence = replace(
                decision, p_speech=p, p_music=0.0, voice_odds=None, boundary_frames=()
            )
            out += _labelled(label, self._smooth.decide(alone, evidence))
            assert alone.smooth is not None  # of the decision
            state.smooth[label] = alone.smooth
        return out

    def _end(self, session: Session, end: int) -> list[Labelled]:
        out: list[Labelled] = []
        state, session.labels = session.labels, None
        for label, smooth in state.smooth.items() if state else ():
            out += _labelled(label, self._smooth.end(Session(session.station, smooth=smooth), end))
        return out


def _labelled(label: str, segments: Sequence[Segment]) -> list[Labelled]:
    """Return the segments of what counted as speech as stretches with a label."""
    return [
        Labelled(each.station, each.start, each.end, each.rate, None, label, each.score, each.final)
        for each in segments
        if each.label == "speech"
    ]


def _cut_out(spans: Sequence[Columns], first: int, last: int) -> Array:
    """Return the columns [first, last), as far as there are any."""
    return np.concatenate(
        [span.values[max(first - span.start, 0) : max(last - span.start, 0)] for span in spans]
    )
