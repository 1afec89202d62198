"""Audio to constant-Q columns: each computed once, on a grid that no restart moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from stream.audio import AudioChunk, Cut

if TYPE_CHECKING:
    from model.frontend.base import FrontEnd

# Stations computed at once, so that what is between two parts of the front end stays small.
MAX_ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Consecutive columns of one station.

    Parameters
    ----------
    station : str
        The station they belong to.
    start : int >= 0
        Index of the first column; column c is centred on sample c * hop.
    values : torch.Tensor [shape=(n, n_bins)]
        Compressed magnitudes; n is a multiple of the columns in a step.
    """

    station: str
    start: int
    values: torch.Tensor


@dataclass(slots=True)
class _Station:
    start: int  # sample at which the session began
    next: int  # sample that the front end takes next
    column: int  # column that the front end gives next; before `first` it is thrown away
    first: int  # first column to hand on, at a step
    state: dict[str, torch.Tensor] | None = None
    pending: list[np.ndarray] = field(default_factory=list)
    n_pending: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    station: str
    samples: np.ndarray


class ComputeColumns:
    """Run the front end over many stations at once.

    Columns come out in whole steps as soon as the audio for them is there: a step's last
    column is known `front_end.latency` samples after its middle. A session begins on the next
    multiple of `hop`; its first columns are handed on from the next whole step.

    The front end is given whole steps too, with silence before a session that begins within one:
    a column then has the same place in a unit (see `model.units`) wherever its session began, and
    the same bits.

    Parameters
    ----------
    front_end : FrontEnd
        The module that computes columns from samples, with explicit state.
    step : int > 0
        Columns in a step.
    device : str
        Where `front_end` is, in torch's words.
    """

    def __init__(self, front_end: FrontEnd, step: int, device: str = "cpu") -> None:
        self.front_end = front_end
        self.device = device
        self.hop = front_end.hop
        self.step = step
        self._stations: dict[str, _Station] = {}
        self._resume: dict[str, int] = {}

    def push(self, items: Sequence[AudioChunk | Cut]) -> list[Columns | Cut]:
        """Return the whole steps of columns that `items` complete, and the cuts in place."""
        out: list[Columns | Cut] = []
        for item in items:
            if isinstance(item, Cut):
                # What was heard so far comes first; zeros then push out the last columns.
                out += self._run(self._ready())
                out += self._run(self._flush(item.station))
                self.forget(item.station)
                out.append(item)
            else:
                self._take(item)
        return out + self._run(self._ready())

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._stations.pop(station, None)
        self._resume.pop(station, None)

    def oldest(self, station: str, column: int | None = None) -> int | None:
        """Return the first sample needed to compute columns from `column` on.

        Without `column`, from the first that has not been handed on yet; None for a station
        that is not being heard.
        """
        state = self._stations.get(station)
        if state is None:
            return None
        if column is None:
            column = max(state.first, state.column)
        # A column reaches back by the latency from its middle; 0.1 s more lets the resampler
        # forget that it began there.
        margin = self.front_end.sample_rate // 10
        return max(column * self.hop - self.front_end.latency - margin, state.start)

    def restore(self, station: str, column: int) -> None:
        """Hand on columns of `station` only from `column`, or the next whole step."""
        self._resume[station] = -(-column // self.step) * self.step

    def _take(self, chunk: AudioChunk) -> None:
        state = self._stations.get(chunk.station)
        samples = chunk.samples
        if state is None:
            skip = min(-chunk.start % self.hop, len(samples))
            if skip == len(samples):
                return
            start = chunk.start + skip
            samples = samples[skip:]
            first = -(-start // (self.step * self.hop)) * self.step
            first = max(first, self._resume.pop(chunk.station, 0))
            # Where a step's samples begin: its columns lie before them by the latency.
            step = (start - self.front_end.latency) // (self.step * self.hop)
            begin = step * self.step * self.hop + self.front_end.latency
            state = _Station(start, begin, step * self.step, first)
            state.pending.append(np.zeros(start - begin, np.float32))
            state.n_pending = start - begin
            self._stations[chunk.station] = state
        state.pending.append(samples)
        state.n_pending += len(samples)

    def _ready(self) -> Iterable[_Job]:
        """Yield the samples that complete whole steps."""
        per_step = self.step * self.hop
        for station, state in self._stations.items():
            known = state.next + state.n_pending - self.front_end.latency
            n = known // per_step * per_step + self.front_end.latency - state.next
            if n > 0:
                yield _Job(station, _pop(state, n))

    def _flush(self, station: str) -> Iterable[_Job]:
        """Yield what is left of a station, with zeros enough to complete its last whole step."""
        state = self._stations.get(station)
        if state is None:
            return
        per_step = self.step * self.hop
        end = (state.next + state.n_pending) // per_step * per_step
        n = end + self.front_end.latency - state.next
        if n > 0:
            missing = max(n - state.n_pending, 0)
            state.pending.append(np.zeros(missing, np.float32))
            state.n_pending += missing
            yield _Job(station, _pop(state, n))

    def _run(self, jobs: Iterable[_Job]) -> list[Columns | Cut]:
        """Compute the jobs, those of equal length together."""
        by_length: dict[int, list[_Job]] = {}
        for job in jobs:
            by_length.setdefault(len(job.samples), []).append(job)
        out: list[Columns | Cut] = []
        for group in by_length.values():
            for i in range(0, len(group), MAX_ROWS):
                out += self._compute(group[i : i + MAX_ROWS])
        return out

    def _compute(self, jobs: list[_Job]) -> list[Columns]:
        stations = [self._stations[job.station] for job in jobs]
        samples = torch.from_numpy(np.stack([job.samples for job in jobs])).to(self.device)
        fresh = self.front_end.initial_state(1)
        states = [station.state or fresh for station in stations]
        state = {name: torch.cat([s[name] for s in states]) for name in fresh}
        with torch.inference_mode():
            columns, state = self.front_end(samples, state)
        out = []
        for row, (job, station) in enumerate(zip(jobs, stations, strict=True)):
            station.state = {name: tensor[row : row + 1] for name, tensor in state.items()}
            skip = min(max(station.first - station.column, 0), columns.shape[1])
            start = station.column + skip
            station.column += columns.shape[1]
            if skip < columns.shape[1]:
                out.append(Columns(job.station, start, columns[row, skip:]))
        return out


def _pop(state: _Station, n: int) -> np.ndarray:
    """Take the next `n` samples from what is pending."""
    samples = state.pending[0] if len(state.pending) == 1 else np.concatenate(state.pending)
    state.pending = [samples[n:]] if len(samples) > n else []
    state.n_pending -= n
    state.next += n
    return samples[:n]
