"""Columns to decisions: one for every step, over a window of 5 s or what there is of it.

Windows begin with steps. A window within which audio begins or ends is cut short there, so every
sample of 0.5 s of audio or more lies in a decision. The first window after a break also has an
early decision, which is not final::

    steps     |    |    |    |    |    |    |    |    |
    audio       ├────────────────────────────────┤
    early       ├────────────┤                         about 2 s
    final       ├──────────────────────┤               replaces it, and has its id
                   ├────────────────────────┤          whole
                        ├────────────────────────┤     the rest
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.short import SHORTEST_COLUMNS, window_frames
from model.units import overlapping
from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.events import Decision
from stream.ranges import Probability, Sample
from stream.session import Session, Sessions, Stage
from stream.stages.features import MAX_ROWS, Columns

if TYPE_CHECKING:
    from model.backend import Classifier
    from model.units import Array
    from stream.session import Item

# Of a probability: what is published is what everything after this stage decides by. The rounding
# of float arithmetic, which differs between processors, moves probabilities by less than 0.00001;
# a step of 0.0001 is finer than any use of them and nearly always hides that.
DECIMALS = 4
# The early decision is made at the end of the first step at which so many columns are there: after
# 2 s where audio begins with a step, and after 1.5 s to 2.5 s elsewhere.
EARLY_COLUMNS = 75

_NOTHING = np.zeros((0, 0), np.float32)


class EarlyDecision(NamedTuple):
    """What the early decision says, while nothing has replaced it."""

    p_speech: Probability
    p_music: Probability


@dataclass(frozen=True, slots=True)
class ClassifyPart:
    """What a snapshot remembers besides the next window.

    Parameters
    ----------
    decided : int >= 0
        Column up to which there are decisions; the window's first column if there is none yet.
    early : EarlyDecision, optional
        The early decision about the window, until it is replaced.
    """

    decided: Sample
    early: EarlyDecision | None


@dataclass(slots=True)
class ClassifyState:
    """What a station's next window begins with."""

    window: int  # its first column
    decided: int  # as in `ClassifyPart`
    end: int  # column after the last that came
    early: EarlyDecision | None = None
    columns: Array = field(default_factory=lambda: _NOTHING)  # the last of those that came
    frames: Array = field(
        default_factory=lambda: _NOTHING
    )  # from the window's place on the grid on
    skip: int = 0  # frames still to come that begin before that place


@dataclass(frozen=True, slots=True)
class _Shape:
    """What must be equal for stations to be computed together.

    Columns are counted from the step in which the window begins.
    """

    begin: int  # first of the columns that come
    count: int  # of the columns that come
    absent: int  # columns of that step that lie before the audio
    is_early: bool  # whether the early decision is due


class Classify(Stage):
    """Classify every window of every station, all stations of a push together.

    Frames are computed a step at a time, with the columns before it that they begin in (silence
    before the first after a break); a window's decision pools over its frames, and depends on the
    window's own columns only. Probabilities are rounded here, once, to `DECIMALS`.

    Parameters
    ----------
    classifier : Classifier
        The network, with its `spec`.
    """

    name = "classify"

    def __init__(self, classifier: Classifier) -> None:
        self.sessions = Sessions()
        self.classifier = classifier
        spec = classifier.spec
        self.step = spec.step_columns
        self.before_step = spec.frames_before_step * spec.stride_columns
        # Enough for a frame of their own, should they end before the first one on the grid does.
        self.tail = max(spec.step_columns, spec.context_columns + spec.stride_columns)
        self.frames_in_step = spec.step_columns // spec.stride_columns
        self.frames_in_window = spec.window_frames
        self.centres = [spec.moment_centre(moment) for moment in range(spec.moments)]

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the decisions that a station's columns complete behind them.

        Those that a break or an end completes are in front of it.
        """
        out: list[Item] = []
        batch: dict[str, Columns] = {}
        for item in items:
            if isinstance(item, AudioChunk):
                out.append(item)
                continue
            # One span of each station goes into a batch: what follows waits for its decisions.
            if item.station in batch:
                out += self._classify(list(batch.values()))
                batch.clear()
            if isinstance(item, Columns):
                batch[item.station] = item
            elif isinstance(item, Discontinuity | EndOfStream):
                out += self._end(self.sessions[item.station], item.start)
                self.sessions[item.station].classify = None
            out.append(item)
        return out + self._classify(list(batch.values()))

    def snapshot(self, session: Session) -> ClassifyPart | None:
        state = session.classify
        return None if state is None else ClassifyPart(state.decided, state.early)

    def restore(self, session: Session, part: ClassifyPart) -> None:
        """Go on with the snapshot's next window, and decide nothing early that was."""
        window = session.resume_column
        session.classify = ClassifyState(window, part.decided, window, part.early)

    def _classify(self, spans: list[Columns]) -> list[Decision]:
        groups: dict[_Shape, list[tuple[Columns, ClassifyState]]] = {}
        for span in spans:
            state = self._begin(self.sessions[span.station], span)
            absent = state.window % self.step
            begin = span.start - state.window + absent
            due = state.decided == state.window
            shape = _Shape(begin, len(span.values), absent, due)
            groups.setdefault(shape, []).append((span, state))
        out: list[Decision] = []
        for shape, group in groups.items():
            for i in range(0, len(group), MAX_ROWS):
                out += self._compute(shape, group[i : i + MAX_ROWS])
        return out

    def _begin(self, session: Session, span: Columns) -> ClassifyState:
        """Return the station's state, with silence before the first columns after a break."""
        state = session.classify
        if state is None:
            state = session.classify = ClassifyState(span.start, span.start, span.start)
        if not len(state.columns):
            state.window, state.decided = span.start, max(span.start, state.decided)
            spec = self.classifier.spec
            silence = self.tail + state.window % self.step
            state.columns = np.zeros((silence, spec.n_bins), np.float32)
            state.frames = np.zeros((0, spec.frame_size), np.float32)
            state.skip = spec.frames_before_step
        return state

    def _compute(self, shape: _Shape, group: list[tuple[Columns, ClassifyState]]) -> list[Decision]:
        """Return the decisions of stations whose columns have one shape, those of each in order."""
        states = [state for _, state in group]
        columns = _stacked([np.concatenate([state.columns, span.values]) for span, state in group])
        frames = self._frames(columns, shape, states)
        n_windows = max((frames.shape[1] - self.frames_in_window) // self.frames_in_step + 1, 0)
        early, early_end = self._early(frames, columns, shape)
        probabilities, boundaries = self._decide(frames, columns, shape, n_windows)
        out: list[Decision] = []
        for row, (span, state) in enumerate(group):
            grid = state.window - shape.absent
            if early:
                state.decided = grid + early_end
                decision = self._decision(
                    span.station, state, early[row], audio_end=span.audio_end, final=False
                )
                state.early = EarlyDecision(decision.p_speech, decision.p_music)
                out.append(decision)
            for clip, strong in zip(probabilities[row], boundaries[row], strict=True):
                state.decided = grid + self.classifier.spec.window_columns
                out.append(
                    self._decision(span.station, state, clip, strong, audio_end=span.audio_end)
                )
                grid += self.step
                state.window, state.early = grid, None
            state.end = span.start + shape.count
            # Copies, so that a station does not hold the memory of the whole batch. A span that is
            # all of it is shared with `voice`.
            is_all = len(span.values) == self.tail
            state.columns = span.values if is_all else columns[row, -self.tail :].copy()
            state.frames = frames[row, n_windows * self.frames_in_step :].copy()
        return out

    def _frames(self, columns: Array, shape: _Shape, states: Sequence[ClassifyState]) -> Array:
        """Return the frames of each station from its window's place on the grid on."""
        frames = _stacked([state.frames for state in states])
        ahead = columns.shape[1] - shape.count - shape.begin % self.step
        columns = columns[:, ahead - self.before_step :]
        if columns.shape[1] < self.classifier.spec.context_columns:
            return frames
        new = self.classifier.embed(columns)
        skip = min(states[0].skip, new.shape[1])  # one for the group
        for state in states:
            state.skip -= skip
        return np.concatenate([frames, new[:, skip:]], axis=1)

    def _decide(
        self, frames: Array, columns: Array, shape: _Shape, n_windows: int
    ) -> tuple[list[list[list[float]]], list[list[list[list[float]]]]]:
        """Return the probabilities of windows, and those of their moments, for each row."""
        spec, rows = self.classifier.spec, len(frames)
        clips: list[list[list[float]]] = [[] for _ in range(rows)]
        moments: list[list[list[list[float]]]] = [[] for _ in range(rows)]
        if n_windows and shape.absent:  # the first window begins where the audio does
            first = self._cut(frames, columns, shape, spec.window_columns)
            for row, clip in enumerate(self.classifier.decide(first).tolist()):
                clips[row].append(clip)
                moments[row].append([])
            frames = frames[:, self.frames_in_step :]
            n_windows -= 1
        if n_windows:
            width, step = self.frames_in_window, self.frames_in_step
            windows = overlapping(frames, width, step, n_windows)
            flat = windows.reshape(rows * n_windows, width, spec.frame_size)
            whole, near = self.classifier.predict(flat)
            p = whole.reshape(rows, n_windows, 2).tolist()
            strong = near.reshape(rows, n_windows, spec.moments, 2).tolist()
            for row in range(rows):
                clips[row] += p[row]
                moments[row] += strong[row]
        return clips, moments

    def _early(self, frames: Array, columns: Array, shape: _Shape) -> tuple[list[list[float]], int]:
        """Return the probabilities of the early decisions, if they are due, and where they end."""
        end = -(-(shape.absent + EARLY_COLUMNS) // self.step) * self.step
        if not shape.is_early or shape.begin + shape.count < end:
            return [], end
        cut = self._cut(frames, columns, shape, end)
        return self.classifier.decide(cut).tolist(), end

    def _cut(self, frames: Array, columns: Array, shape: _Shape, end: int) -> Array:
        """Return the frames of a window from the first column of the audio to before `end`.

        Parameters
        ----------
        frames : np.ndarray [shape=(rows, n, frame_size)]
            From the step in which the window begins.
        columns : np.ndarray [shape=(rows, m, n_bins)]
            The last ones.
        shape : _Shape
            Where the audio and `columns` lie.
        end : int
            Counted from that step, as all in `shape`.
        """
        spec = self.classifier.spec
        first = -(-shape.absent // spec.stride_columns)
        after = (end - spec.context_columns) // spec.stride_columns + 1
        if first < after:
            return frames[:, first:after]
        # No frame of the grid lies in audio this short: it has one of its own.
        zero = columns.shape[1] - shape.begin - shape.count
        return window_frames(self.classifier, columns[:, zero + shape.absent : zero + end])[:, :1]

    def _end(self, session: Session, end: int) -> list[Decision]:
        """Return the decision about the audio before a break at sample `end` that has none yet."""
        state = session.classify
        if state is None:
            return []
        if state.early is not None and state.end < state.decided:
            # Its audio did not come again after a restart.
            return [self._decision(session.station, state, state.early)]
        began = state.decided > state.window
        is_new = state.early is not None or state.end > state.decided
        if not is_new or (not began and state.end - state.window < SHORTEST_COLUMNS):
            return []
        absent = state.window % self.step
        length = state.end - state.window
        shape = _Shape(absent, length, absent, is_early=False)
        columns = state.columns[None]
        cut = self._cut(state.frames[None], columns, shape, absent + length)
        state.decided = state.end
        clip = self.classifier.decide(cut)[0].tolist()
        return [self._decision(session.station, state, clip, audio_end=end)]

    def _decision(
        self,
        station: str,
        state: ClassifyState,
        clip: Sequence[float],
        strong: Sequence[list[float]] = (),
        *,
        audio_end: int | None = None,
        final: bool = True,
    ) -> Decision:
        """Return the decision about a state's window up to `decided`, from its probabilities."""
        spec = self.classifier.spec
        start, end = state.window * spec.hop, state.decided * spec.hop
        if audio_end is not None:
            end = min(end, audio_end)
        p_speech, p_music = (round(p, DECIMALS) for p in clip)
        frames = tuple(
            (start + centre, round(speech, DECIMALS), round(music, DECIMALS))
            for centre, (speech, music) in zip(self.centres, strong, strict=False)
        )
        rate = spec.sample_rate
        return Decision(
            station, start, end, rate, None, p_speech, p_music, boundary_frames=frames, final=final
        )


def _stacked(rows: Sequence[Array]) -> Array:
    """Return rows as one array; a single one is not copied."""
    return rows[0][None] if len(rows) == 1 else np.stack(rows)
