"""Audio to constant-Q columns: each computed once, on a grid that no restart moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from stream.audio import AudioChunk, Discontinuity, EndOfStream
from stream.session import Session, Sessions, Stage
from stream.stages.align import Aligned

if TYPE_CHECKING:
    from model.backend import FrontEnd
    from model.units import Array

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
    values : np.ndarray [shape=(n, n_bins)]
        Compressed magnitudes. They end with a whole step, or where the audio does.
    audio_end : int, optional
        Sample after the last, where the audio ends with these columns.
    """

    station: str
    start: int
    values: Array
    audio_end: int | None = None


@dataclass(slots=True)
class ColumnsState:
    """A station's front end, and where it is."""

    start: int  # first sample since the latest break
    next: int  # sample that the front end takes next
    column: int  # column that it gives next; those before `first` are thrown away
    first: int  # first column to return
    state: Array | None = None  # the front end's; None before its first samples
    pending: list[np.ndarray] = field(default_factory=list)  # samples from `next` on
    n_pending: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    station: str
    state: ColumnsState
    count: int  # samples to take from what is pending
    audio_end: int | None = None  # sample after the last, where they are the last of the audio


class ComputeColumns(Stage):
    """Run the front end over many stations at once.

    Columns come out in whole steps as soon as the audio for them is there: a step's last
    column is known `front_end.latency` samples after its middle. After a break, the front end
    begins on the next multiple of `hop`, with the column there. Where audio ends, its last columns
    come out too: all that are centred on a sample of it.

    The front end is given whole steps always, with silence before and after audio that begins or
    ends within one: so a column has the same place in a unit (see `model.units`) wherever the audio
    began, and the same bits.

    Parameters
    ----------
    front_end : FrontEnd
        Computes columns from samples, with explicit state.
    step : int > 0
        Columns in a step.
    """

    name = "columns"

    def __init__(self, front_end: FrontEnd, step: int) -> None:
        self.sessions = Sessions()
        self.front_end = front_end
        self.hop = front_end.hop
        self.step = step

    def push(self, items: Sequence[Aligned]) -> list[Aligned | Columns]:
        """Return `items`, each station's followed by the whole steps of columns they complete."""
        out: list[Aligned | Columns] = []
        changed: dict[str, Session] = {}
        for item in items:
            session = self.sessions[item.station]
            if isinstance(item, AudioChunk):
                out.append(item)
                self._process(session, item)
                changed[item.station] = session
                continue
            if not isinstance(item, Discontinuity | EndOfStream):
                out.append(item)
                continue
            # The columns of what came before the break; zeros then push out the last of them.
            out += self._run(self._ready(changed))
            changed.clear()
            out += self._run(self._rest(session, item.start))
            session.columns, session.resume_column = None, 0
            out.append(item)
        return out + self._run(self._ready(changed))

    def snapshot(self, session: Session) -> int | None:
        """Return the first column that is needed again: that of the next window."""
        return None if session.classify is None else session.classify.window

    def restore(self, session: Session, part: int) -> None:
        """Return columns only from column `part` on."""
        session.resume_column = part

    def oldest(self, session: Session, sample: int) -> int:
        state = session.columns
        if state is None:
            return sample
        column = self.snapshot(session)
        if column is None:
            column = max(state.first, state.column)
        # A column reaches back by the latency from its middle; after 0.1 s more it no longer
        # matters to the resampler where it began.
        margin = self.front_end.sample_rate // 10
        return min(sample, max(column * self.hop - self.front_end.latency - margin, state.start))

    def _process(self, session: Session, chunk: AudioChunk) -> None:
        state = session.columns
        samples = chunk.samples
        if state is None:
            skip = min(-chunk.start % self.hop, len(samples))
            if skip == len(samples):
                return
            start = chunk.start + skip
            samples = samples[skip:]
            first = max(start // self.hop, session.resume_column)
            # Where a step's samples begin: its columns lie before them by the latency.
            step = (start - self.front_end.latency) // (self.step * self.hop)
            begin = step * self.step * self.hop + self.front_end.latency
            state = ColumnsState(start, begin, step * self.step, first)
            state.pending.append(np.zeros(start - begin, np.float32))
            state.n_pending = start - begin
            session.columns = state
        state.pending.append(samples)
        state.n_pending += len(samples)

    def _ready(self, sessions: Mapping[str, Session]) -> Iterable[_Job]:
        """Yield the samples that complete whole steps."""
        per_step = self.step * self.hop
        for station, session in sessions.items():
            if (state := session.columns) is None:
                continue
            known = state.next + state.n_pending - self.front_end.latency
            n = known // per_step * per_step + self.front_end.latency - state.next
            if n > 0:
                yield _Job(station, state, n)

    def _rest(self, session: Session, audio_end: int) -> Iterable[_Job]:
        """Yield what is left of a station, with zeros enough to complete its last step."""
        if (state := session.columns) is None:
            return
        per_step = self.step * self.hop
        came = state.next + state.n_pending
        # After a restart, a station may end behind the audio that came again.
        audio_end = min(audio_end, -(-came // self.hop) * self.hop)
        steps = -(-came // per_step)
        n = steps * per_step + self.front_end.latency - state.next
        if n > 0:
            missing = max(n - state.n_pending, 0)
            state.pending.append(np.zeros(missing, np.float32))
            state.n_pending += missing
            yield _Job(session.station, state, n, audio_end)

    def _run(self, jobs: Iterable[_Job]) -> list[Columns]:
        """Compute the jobs, those of equal length together."""
        by_length: dict[int, list[_Job]] = {}
        for job in jobs:
            by_length.setdefault(job.count, []).append(job)
        out: list[Columns] = []
        for group in by_length.values():
            for i in range(0, len(group), MAX_ROWS):
                out += self._compute(group[i : i + MAX_ROWS])
        return out

    def _compute(self, jobs: list[_Job]) -> list[Columns]:
        samples = np.empty((len(jobs), jobs[0].count), np.float32)
        for taken, job in zip(samples, jobs, strict=True):
            _take(job.state, taken)
        state = self.front_end.initial_state(len(jobs))
        for row, job in enumerate(jobs):
            if job.state.state is not None:
                state[row] = job.state.state
        columns, state = self.front_end(samples, state)
        out = []
        for row, job in enumerate(jobs):
            mine = job.state
            mine.state = state[row].copy()  # not the memory of the whole batch
            start, end = max(mine.first, mine.column), mine.column + columns.shape[1]
            last = end if job.audio_end is None else min(-(-job.audio_end // self.hop), end)
            if start < last:
                values = columns[row, start - mine.column : last - mine.column]
                if len(jobs) > 1:  # later stages keep them for seconds, and not the whole batch
                    values = values.copy()
                out.append(Columns(job.station, start, values, job.audio_end))
            mine.column = end
        return out


def _take(state: ColumnsState, row: np.ndarray) -> None:
    """Fill a row with the next samples of what is pending."""
    filled = used = 0
    for piece in state.pending:
        if filled + len(piece) > len(row):
            break
        row[filled : filled + len(piece)] = piece
        filled += len(piece)
        used += 1
    rest = state.pending[used:]
    if filled < len(row):
        n = len(row) - filled
        row[filled:] = rest[0][:n]
        # A copy: a view would keep the samples that are taken until the next step is complete.
        rest[0] = rest[0][n:].copy()
    state.pending = rest
    state.n_pending -= len(row)
    state.next += len(row)
