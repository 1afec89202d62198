"""Columns to decisions: one for every step, over a window of 5 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from stream.audio import Cut
from stream.events import Decision
from stream.stages.features import MAX_ROWS, Columns

if TYPE_CHECKING:
    from model.classifier import Classifier


# Of a probability: what is published is what everything after this stage decides by. The rounding
# of float arithmetic, which differs between processors, moves probabilities by less than 0.00001;
# a step of 0.0001 is finer than any use of them and nearly always hides that.
DECIMALS = 4


@dataclass(slots=True)
class _Station:
    window: int  # first column of the next window
    columns: torch.Tensor  # those before the next step that its first frame begins with
    frames: torch.Tensor  # those that the next window begins with
    skip: int  # frames still to come that begin before the session does


class Classify:
    """Judge every window of every station, all stations of a push together.

    Frames are computed a step at a time, with the columns before it that they begin in (silence
    before a session's first); a window's decision pools over its frames, and depends on the
    window's own columns only. Probabilities are rounded here, once, to `DECIMALS`.

    Parameters
    ----------
    classifier : Classifier
        The network, with its `spec`.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        spec = classifier.spec
        self.step = spec.step_columns
        self.frames_in_step = spec.step_columns // spec.stride_columns
        self.frames_in_window = spec.window_frames
        self.centres = [spec.moment_centre(moment) for moment in range(spec.moments)]
        self._stations: dict[str, _Station] = {}

    def push(self, items: Sequence[Columns | Cut]) -> list[Decision | Cut]:
        """Return the decisions that `items` complete, in order within a station, and the cuts."""
        out: list[Decision | Cut] = []
        waiting: dict[str, Columns] = {}
        for item in items:
            # One run of columns of each station goes into a batch: what follows waits.
            if item.station in waiting:
                out += self._judge(list(waiting.values()))
                waiting.clear()
            if isinstance(item, Cut):
                self._stations.pop(item.station, None)
                out.append(item)
            else:
                waiting[item.station] = item
        return out + self._judge(list(waiting.values()))

    def next_window(self, station: str) -> int | None:
        """Return the first column of the window that is judged next."""
        state = self._stations.get(station)
        return None if state is None else state.window

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._stations.pop(station, None)

    def _judge(self, runs: list[Columns]) -> list[Decision | Cut]:
        groups: dict[tuple[int, int, int], list[Columns]] = {}
        for run in runs:
            state = self._stations.get(run.station)
            if state is None:
                spec = self.classifier.spec
                skip = spec.frames_before_step
                silence = run.values.new_zeros(skip * spec.stride_columns, spec.n_bins)
                no_frames = run.values.new_zeros(0, spec.frame_size)
                state = _Station(run.start, silence, no_frames, skip)
                self._stations[run.station] = state
            key = (len(run.values), state.skip, len(state.frames))
            groups.setdefault(key, []).append(run)
        out: list[Decision | Cut] = []
        for group in groups.values():
            for i in range(0, len(group), MAX_ROWS):
                out += self._compute(group[i : i + MAX_ROWS])
        return out

    def _compute(self, runs: list[Columns]) -> list[Decision]:
        spec = self.classifier.spec
        states = [self._stations[run.station] for run in runs]
        columns = torch.stack(
            [torch.cat([s.columns, run.values]) for s, run in zip(states, runs, strict=True)]
        )
        new = self.classifier.embed(columns)
        skip = min(states[0].skip, new.shape[1])  # one for the group
        frames = torch.cat([torch.stack([s.frames for s in states]), new[:, skip:]], dim=1)
        n_windows = max((frames.shape[1] - self.frames_in_window) // self.frames_in_step + 1, 0)
        probabilities = torch.zeros(len(runs), 0, 2)
        moments = torch.zeros(len(runs), 0, 0, 2)
        if n_windows:
            windows = frames.unfold(1, self.frames_in_window, self.frames_in_step)
            windows = windows.transpose(2, 3).flatten(0, 1)
            probabilities = self.classifier.decide(windows).cpu().view(len(runs), n_windows, 2)
            moments = self.classifier.locate(windows).cpu()
            moments = moments.view(len(runs), n_windows, spec.moments, 2)
        out = []
        used_columns = len(runs[0].values)
        used_frames = n_windows * self.frames_in_step
        for row, (state, run) in enumerate(zip(states, runs, strict=True)):
            state.columns = columns[row, used_columns:]
            state.skip -= skip
            state.frames = frames[row, used_frames:]
            for judged, located in zip(
                probabilities[row].tolist(), moments[row].tolist(), strict=True
            ):
                out.append(self._decision(run, state.window, judged, located))
                state.window += self.step
        return out

    def _decision(
        self, run: Columns, window: int, judged: list[float], located: list[list[float]]
    ) -> Decision:
        spec = self.classifier.spec
        start = window * spec.hop
        end = start + spec.window_columns * spec.hop
        p_speech, p_music = (round(p, DECIMALS) for p in judged)
        moments = tuple(
            (start + centre, round(speech, DECIMALS), round(music, DECIMALS))
            for centre, (speech, music) in zip(self.centres, located, strict=True)
        )
        return Decision(
            run.station, start, end, spec.sample_rate, None, p_speech, p_music, moments=moments
        )
