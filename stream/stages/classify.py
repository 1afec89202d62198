"""Columns to decisions: one for every step, over a window of 5 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stream.audio import AudioChunk
from stream.events import Decision
from stream.session import Sessions, Stage
from stream.stages.features import MAX_ROWS, Columns

if TYPE_CHECKING:
    from model.classifier import Classifier
    from stream.session import Item

# Of a probability: what is published is what everything after this stage decides by. The rounding
# of float arithmetic, which differs between processors, moves probabilities by less than 0.00001;
# a step of 0.0001 is finer than any use of them and nearly always hides that.
DECIMALS = 4


@dataclass(slots=True)
class ClassifyState:
    """What a station's next window begins with."""

    window: int  # its first column
    columns: torch.Tensor  # those before the next step that its first frame begins with
    frames: torch.Tensor  # those that the window begins with
    skip: int  # frames still to come that begin before the audio does


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
        self.frames_in_step = spec.step_columns // spec.stride_columns
        self.frames_in_window = spec.window_frames
        self.centres = [spec.moment_centre(moment) for moment in range(spec.moments)]

    def push(self, items: Sequence[Item]) -> list[Item]:
        """Return `items`, with the decisions that a station's columns complete behind them."""
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
            else:
                self.sessions[item.station].classify = None
            out.append(item)
        return out + self._classify(list(batch.values()))

    def _classify(self, spans: list[Columns]) -> list[Decision]:
        groups: dict[tuple[int, int, int], list[tuple[Columns, ClassifyState]]] = {}
        for span in spans:
            session = self.sessions[span.station]
            if session.classify is None:
                spec = self.classifier.spec
                skip = spec.frames_before_step
                silence = span.values.new_zeros(skip * spec.stride_columns, spec.n_bins)
                no_frames = span.values.new_zeros(0, spec.frame_size)
                session.classify = ClassifyState(span.start, silence, no_frames, skip)
            state = session.classify
            key = (len(span.values), state.skip, len(state.frames))
            groups.setdefault(key, []).append((span, state))
        out: list[Decision] = []
        for group in groups.values():
            for i in range(0, len(group), MAX_ROWS):
                out += self._compute(group[i : i + MAX_ROWS])
        return out

    def _compute(self, group: list[tuple[Columns, ClassifyState]]) -> list[Decision]:
        spec = self.classifier.spec
        spans, states = zip(*group, strict=True)
        columns = torch.stack([torch.cat([s.columns, span.values]) for span, s in group])
        new = self.classifier.embed(columns)
        skip = min(states[0].skip, new.shape[1])  # one for the group
        frames = torch.cat([torch.stack([s.frames for s in states]), new[:, skip:]], dim=1)
        n_windows = max((frames.shape[1] - self.frames_in_window) // self.frames_in_step + 1, 0)
        probabilities = torch.zeros(len(group), 0, 2)
        boundaries = torch.zeros(len(group), 0, 0, 2)
        if n_windows:
            windows = frames.unfold(1, self.frames_in_window, self.frames_in_step)
            windows = windows.transpose(2, 3).flatten(0, 1)
            probabilities = self.classifier.decide(windows).cpu().view(len(group), n_windows, 2)
            boundaries = self.classifier.locate(windows).cpu()
            boundaries = boundaries.view(len(group), n_windows, spec.moments, 2)
        out = []
        used_columns = len(spans[0].values)
        used_frames = n_windows * self.frames_in_step
        for row, (span, state) in enumerate(group):
            state.columns = columns[row, used_columns:]
            state.skip -= skip
            state.frames = frames[row, used_frames:]
            for clip, strong in zip(
                probabilities[row].tolist(), boundaries[row].tolist(), strict=True
            ):
                out.append(self._decision(span.station, state.window, clip, strong))
                state.window += self.step
        return out

    def _decision(
        self, station: str, window: int, clip: list[float], strong: list[list[float]]
    ) -> Decision:
        """Return a decision from a window's clip-level and frame-level probabilities."""
        spec = self.classifier.spec
        start = window * spec.hop
        end = start + spec.window_columns * spec.hop
        p_speech, p_music = (round(p, DECIMALS) for p in clip)
        frames = tuple(
            (start + centre, round(speech, DECIMALS), round(music, DECIMALS))
            for centre, (speech, music) in zip(self.centres, strong, strict=True)
        )
        rate = spec.sample_rate
        return Decision(station, start, end, rate, None, p_speech, p_music, boundary_frames=frames)
