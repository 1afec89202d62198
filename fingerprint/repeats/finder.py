"""The finder: blocks of one station in, runs out.

Each block is looked up in the window. Where several of its pairs, or of those of the block before,
agree on one lag, the peaks are aligned at that lag. A run that reaches the end of the block stays
open and continues with the next one.

Audio that resembles itself within five minutes (`MIN_LAG`) is one piece: the turns of a loop, the
choruses of a song. A jingle that is played twice within this time is found with its third playing.
For the same reason only the strongest of the runs survives that explain one stretch by places less
than `MIN_LAG` apart, unless these are playings of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.repeats.alignment import (
    BLOCK,
    MAX_LENGTH,
    Cells,
    OpenRun,
    Run,
    compare,
    grow,
    is_repeat,
)
from fingerprint.repeats.clusters import Clusters, clusters_of, same_extent
from fingerprint.repeats.store import DAY, Store, StoredRun
from fingerprint.repeats.window import STRONG_RANK, Window
from fingerprint.settings import HOP, SAMPLE_RATE, STORED_RANK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks

MIN_LAG = 300 * SAMPLE_RATE // HOP  # frames
_MIN_VOTES = 5  # pairs that agree on a lag, in two blocks
_MAX_SEEDS = 10  # lags that are aligned in one block
_SAME_LAG = 3  # frames
_MAX_CELLS = 500  # cached agreements, 4 kB each


@dataclass(frozen=True, slots=True)
class Found:
    """An occurrence that has just ended.

    Parameters
    ----------
    cluster : str
        Id of its cluster.
    start, end : int
        Frames.
    before : int
        First frame of the occurrence before.
    count : int
        Occurrences in the window, with this one.
    """

    cluster: str
    start: int
    end: int
    before: int
    count: int


class RepeatFinder:
    """Finds what a station repeats.

    Parameters
    ----------
    station : str
        The station.
    store : Store
        Its folder.
    start : int >= 0
        Sample at which audio goes on: what is stored from there on is forgotten.
    days : float > 0
        How far back repeats are looked for.
    open_runs : sequence of OpenRun
        Those of the snapshot.
    label_of : callable
        Returns the label of most of a span of frames; empty where unknown.
    """

    def __init__(
        self,
        station: str,
        store: Store,
        start: int,
        days: float,
        open_runs: Sequence[OpenRun] = (),
        label_of: Callable[[int, int], str] = lambda _start, _end: "",
    ) -> None:
        self.store = store
        self.open = list(open_runs)
        self.done = -(-start // HOP)  # frames whose peaks are stored
        self.label_of = label_of
        self._days = days
        self._cells: dict[tuple[int, int], Cells | None] = {}
        store.cut(self.done)
        self._next = self.done // BLOCK
        self.clusters: Clusters
        self._restore_runs(station)
        self.window = Window()
        self._load()

    @property
    def station_runs(self) -> Sequence[StoredRun]:
        """All runs in the window."""
        return self.clusters.runs

    def add(self, landmarks: Landmarks) -> list[Found]:
        """Add the landmarks that follow; return the occurrences that end with them.

        Parameters
        ----------
        landmarks : Landmarks
            Of a stretch that begins at or after the end of the last one, and ends at a multiple of
            `HOP`.
        """
        strong = landmarks.strongest(STORED_RANK)
        frame = strong.time // HOP
        keep = (frame >= self.done) & (frame < landmarks.end // HOP)
        bin_ = np.rint(strong.bin[keep]).astype(np.int64)
        frame = frame[keep]
        self.done = landmarks.end // HOP
        found: list[Found] = []
        # Block by block, so that no block sees the peaks of the next.
        paired = strong.rank[keep] < STRONG_RANK
        while self._next < self.done // BLOCK:
            now = frame < (self._next + 1) * BLOCK
            self._store(frame[now], bin_[now], paired[now])
            frame, bin_, paired = frame[~now], bin_[~now], paired[~now]
            found += self._block()
        self._store(frame, bin_, paired)
        return found

    def finish(self) -> list[Found]:
        """End all runs, as at the end of a stream."""
        found = self._block() if self.done % BLOCK else []
        ended, self.open = self.open, []
        return found + self._close(ended, self._next - 1)

    def _store(
        self, frame: NDArray[np.int64], bin_: NDArray[np.int64], paired: NDArray[np.bool_]
    ) -> None:
        if len(frame):
            self.store.add(frame, bin_, paired)

    def _restore_runs(self, station: str) -> None:
        stored = self.store.runs()
        kept = [each for each in stored if each.block < self._next]
        if len(kept) < len(stored):
            self.store.replace_runs(kept)
        self.clusters = clusters_of(station, kept)
        self._station = station

    def _load(self) -> None:
        days, end = self.store.days(), self._next * BLOCK
        if days:
            begin = max(days[0] * DAY, self._oldest())
            self.window.load(*self.store.strong_peaks(begin, end), self._next)

    def _oldest(self) -> int:
        return max(self._next * BLOCK - round(self._days * DAY), 0)

    def _block(self) -> list[Found]:
        """Process the next block, whose peaks are all stored."""
        number, self._next = self._next, self._next + 1
        first = number * BLOCK
        strong = self.store.strong_peaks(first, first + BLOCK)
        ended, still = [], []
        for each in self.open:
            cells = self._agreement(number, each.run.lag)
            grown, over = each.follow(first, cells) if cells else (each, True)
            over = over or grown.run.length > MAX_LENGTH
            (ended if over else still).append(grown)
        for lag in self._seeds(number, strong, [each.run.lag for each in still]):
            result = grow(lag, number, self._agreement)
            if result is None or self._is_known(result[0].run, ended):
                continue
            (ended if result[1] else still).append(result[0])
        self.open = still
        found = self._close(ended, number)
        if len(strong[0]):
            self.window.add(number, *strong)
        self._forget(number)
        return found

    def _seeds(
        self, number: int, strong: tuple[NDArray[np.int64], NDArray[np.int64]], known: list[int]
    ) -> list[int]:
        """Return the lags on which most pairs of this block and the one before agree."""
        max_lag = round(self._days * DAY)
        before = self.store.strong_peaks((number - 1) * BLOCK, number * BLOCK)
        lags = np.concatenate(
            [self.window.look_up(*peaks, MIN_LAG, max_lag)[1] for peaks in (before, strong)]
        )
        if len(lags) < _MIN_VOTES:
            return []
        lags.sort()
        # A lag with n votes within two steps begins a run of n.
        votes = np.searchsorted(lags, lags + 2, side="right") - np.arange(len(lags))
        good = np.flatnonzero(votes >= _MIN_VOTES)
        found: list[int] = []
        for index in good[np.argsort(-votes[good], kind="stable")].tolist():
            lag = int(np.median(lags[index : index + int(votes[index])]))
            if all(abs(lag - other) > _SAME_LAG for other in [*known, *found]):
                found.append(lag)
                if len(found) == _MAX_SEEDS:
                    break
        return found

    def _agreement(self, number: int, lag: int) -> Cells | None:
        key = number, lag
        if key not in self._cells:
            if len(self._cells) > _MAX_CELLS:
                self._cells.clear()
            first = number * BLOCK
            here = self.store.peaks(first, first + BLOCK)
            there = self.store.peaks(first - lag - 1, first - lag + BLOCK + 1)
            self._cells[key] = compare(here, there, first, lag) if len(here[0]) else None
        return self._cells[key]

    def _is_known(self, run: Run, ended: list[OpenRun]) -> bool:
        """Return whether a run is one that ended in this block or before."""
        others = [each.run for each in ended]
        others += [each.run for each in self.clusters.near(run.start, run.end)]
        return any(
            abs(other.lag - run.lag) <= _SAME_LAG
            and other.start < run.end
            and run.start < other.end
            for other in others
        )

    def _close(self, ended: list[OpenRun], number: int) -> list[Found]:
        """Return the occurrences that runs make known, and store the runs."""
        runs = [each.run for each in ended if is_repeat(each.run, self.store.peaks)]
        runs.sort(key=lambda run: (-run.score, run.lag))
        rivals = [each.run for each in self.open]
        accepted: list[Run] = []
        for run in runs:
            near = [each.run for each in self.clusters.near(run.start, run.end)]
            if not any(_excludes(other, run) for other in [*rivals, *near, *accepted]):
                accepted.append(run)
        found: list[Found] = []
        stored: list[StoredRun] = []
        first_new = len(self.clusters.runs)
        for run in accepted:
            self.clusters.add(StoredRun(run, number, "", self.label_of(run.start, run.end)))
        for index, run in enumerate(accepted, first_new):
            id_ = self.clusters.id_of(index)
            each = self.clusters.runs[index]
            named = StoredRun(run, each.block, id_, each.label)
            stored.append(named)
            self.clusters.name(index, id_)
        for index, run in enumerate(accepted, first_new):
            occurrence = self._new_occurrence(index, run, first_new)
            if occurrence is not None and all(
                (other.cluster, other.start) != (occurrence.cluster, occurrence.start)
                for other in found
            ):
                found.append(occurrence)
        if stored:
            self.store.add_runs(stored)
        return sorted(found, key=lambda each: (each.start, each.end, each.cluster))

    def _new_occurrence(self, index: int, run: Run, first_new: int) -> Found | None:
        """Return the occurrence of a run, unless an earlier block made it known."""
        span = run.start, run.end
        old = [each for each in self.clusters.runs_with(index) if each.block < self._block_of(index)]
        if any(same_extent(span, (each.run.start, each.run.end)) for each in old):
            return None
        cluster = self.clusters.cluster_of(index)
        number = max(
            range(len(cluster.occurrences)),
            key=lambda n: _common(span, cluster.occurrences[n].start, cluster.occurrences[n].end),
        )
        here = cluster.occurrences[number]
        before = cluster.occurrences[number - 1].start if number else run.start - run.lag
        return Found(cluster.id, here.start, here.end, before, len(cluster.occurrences))

    def _block_of(self, index: int) -> int:
        return self.clusters.runs[index].block

    def _forget(self, number: int) -> None:
        """Once in a day, drop what is older than the window."""
        if number * BLOCK // DAY == (number + 1) * BLOCK // DAY:
            return
        oldest = self._oldest()
        self.store.drop(oldest)
        self.window.drop(oldest)
        kept = [each for each in self.clusters.runs if each.run.end > oldest]
        if len(kept) < len(self.clusters.runs):
            self.clusters = clusters_of(self._station, kept)
            self.store.replace_runs(kept)


def _common(span: tuple[int, int], start: int, end: int) -> int:
    return min(span[1], end) - max(span[0], start)


def _excludes(strong: Run, weak: Run) -> bool:
    """Return whether a run explains what another one only resembles.

    Both explain the same stretch, by places that are less than MIN_LAG apart: two places in one
    piece of music, or two playings of one jingle.
    """
    if strong is weak or strong.score < weak.score:
        return False
    apart = abs(strong.lag - weak.lag)
    if apart >= MIN_LAG or _common((weak.start, weak.end), strong.start, strong.end) <= 0:
        return False
    overlap = _common(
        (weak.start - weak.lag, weak.end - weak.lag),
        strong.start - strong.lag,
        strong.end - strong.lag,
    )
    return overlap > 0 or not same_extent((strong.start, strong.end), (weak.start, weak.end))
