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
from fingerprint.repeats.clusters import Cluster, Clusters, clusters_of, same_extent
from fingerprint.repeats.store import DAY, Store, StoredRun
from fingerprint.repeats.window import STRONG_RANK, BlockPairs, Window
from fingerprint.settings import HOP, SAMPLE_RATE, STORED_RANK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks

MIN_LAG = 300 * SAMPLE_RATE // HOP  # frames
_MIN_VOTES = 5  # pairs that agree on a lag, in two blocks
_MAX_SEEDS = 6  # lags that are aligned in one block: a few earlier playings are enough
_SAME_LAG = 3  # frames
MAX_GAP = 30  # blocks without audio; over a longer gap nothing goes on
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
    as_cluster : Cluster
        The cluster, with this occurrence.
    """

    cluster: str
    start: int
    end: int
    before: int
    as_cluster: Cluster

    @property
    def count(self) -> int:
        """Occurrences in the window, with this one."""
        return len(self.as_cluster.occurrences)


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
    open_runs : sequence of OpenRun, optional
        Those of the snapshot with which a station is resumed; None where it begins anew.
    label_of : callable
        Returns the label of most of a span of frames; empty where unknown.
    """

    def __init__(
        self,
        station: str,
        store: Store,
        start: int,
        days: float,
        open_runs: Sequence[OpenRun] | None = None,
        label_of: Callable[[int, int], str] = lambda _start, _end: "",
    ) -> None:
        self.store = store
        self.open = list(open_runs or ())
        self.done = -(-start // HOP)  # frames whose peaks are stored
        self.label_of = label_of
        self._days = days
        self._cells: dict[tuple[int, int], Cells | None] = {}
        self._next = self.done // BLOCK
        self._day = self._next * BLOCK // DAY
        self._station = station
        store.cut(self.done)
        self.clusters = self._stored_runs(resumed=open_runs is not None)
        self.window = Window()
        self._before: tuple[int, NDArray[np.int64]] | None = None  # of the last block
        self._load()

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
        found = self._skip(landmarks.start // HOP // BLOCK)
        self.done = landmarks.end // HOP
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

    def _skip(self, to: int) -> list[Found]:
        """Go to a block behind a long gap, in which nothing can go on."""
        if to <= self._next + MAX_GAP:
            return []
        found = self.finish()
        self._next = to
        self._forget()
        return found

    def _store(
        self, frame: NDArray[np.int64], bin_: NDArray[np.int64], paired: NDArray[np.bool_]
    ) -> None:
        if len(frame):
            self.store.add(frame, bin_, paired)

    def _stored_runs(self, *, resumed: bool) -> Clusters:
        """Return the stored runs; those that a resumed station finds again are left out."""
        stored = self.store.runs()
        kept = [
            each
            for each in stored
            if (each.block < self._next if resumed else each.run.end <= self.done)
        ]
        if len(kept) < len(stored):
            self.store.replace_runs(kept)
        return clusters_of(self._station, kept)

    def _load(self) -> None:
        days, end = self.store.days(), self._next * BLOCK
        if days:
            begin = max(days[0] * DAY, self._oldest())
            self.window.load(BlockPairs.of(*self.store.strong_peaks(begin, end)), self._next)

    def _oldest(self) -> int:
        return max(self._next * BLOCK - round(self._days * DAY), 0)

    def _block(self) -> list[Found]:
        """Process the next block, whose peaks are all stored."""
        number, self._next = self._next, self._next + 1
        first = number * BLOCK
        pairs = self._pairs(number)
        ended: list[OpenRun] = []
        still: list[OpenRun] = []
        for each in self.open:
            cells = self._agreement(number, each.run.lag)
            grown, over = each.follow(first, cells) if cells else (each, True)
            over = over or grown.run.length > MAX_LENGTH
            (ended if over else still).append(grown)
        for lag in self._seeds(number, pairs, [each.run.lag for each in still]):
            result = grow(lag, number, self._agreement)
            if result is None or self._is_known(result[0].run, ended):
                continue
            (ended if result[1] else still).append(result[0])
        self.open = still
        found = self._close(ended, number)
        self.window.add(number, pairs)
        self._forget()
        return found

    def _pairs(self, number: int) -> BlockPairs:
        return BlockPairs.of(*self.store.strong_peaks(number * BLOCK, (number + 1) * BLOCK))

    def _lags(self, pairs: BlockPairs) -> NDArray[np.int64]:
        return self.window.look_up(pairs, MIN_LAG, round(self._days * DAY))

    def _seeds(self, number: int, pairs: BlockPairs, known: list[int]) -> list[int]:
        """Return the lags on which most pairs of this block and the one before agree."""
        before, now = self._before, self._lags(pairs)
        if before is None or before[0] != number - 1:
            before = number - 1, self._lags(self._pairs(number - 1))
        lags, self._before = np.concatenate([before[1], now]), (number, now)
        if len(lags) < _MIN_VOTES:
            return []
        lags.sort()
        # A lag with n votes within two steps begins a run of n.
        votes = np.searchsorted(lags, lags + 2, side="right") - np.arange(len(lags))
        good = np.flatnonzero(votes >= _MIN_VOTES)
        found: list[int] = []
        for index in good[np.argsort(-votes[good], kind="stable")].tolist():
            lag = int(lags[index + int(votes[index]) // 2])
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
        first = len(self.clusters.runs)
        for run in accepted:
            self.clusters.add(StoredRun(run, number, "", self.label_of(run.start, run.end)))
        numbers = range(first, len(self.clusters.runs))
        for each in numbers:
            self.clusters.name(each, self.clusters.id_of(each))
        if accepted:
            self.store.add_runs([self.clusters.runs[each] for each in numbers])
        found: list[Found] = []
        for each in numbers:
            span = self._span(each)
            if self._is_published(each, number):
                continue
            if any(
                before.cluster == self.clusters.runs[each].cluster
                and same_extent((before.start, before.end), span)
                for before in found
            ):
                continue
            found.append(self._occurrence(each))
        return sorted(found, key=lambda each: (each.start, each.end, each.cluster))

    def _span(self, each: int) -> tuple[int, int]:
        run = self.clusters.runs[each].run
        return run.start, run.end

    def _is_published(self, each: int, number: int) -> bool:
        """Return whether a run of an earlier block made the occurrence known."""
        return any(
            old.block < number and same_extent(self._span(each), (old.run.start, old.run.end))
            for old in self.clusters.runs_with(each)
        )

    def _occurrence(self, each: int) -> Found:
        """Return the occurrence of the later span of a run."""
        start, end = self._span(each)
        cluster = self.clusters.cluster_of(each)
        number = max(
            range(len(cluster.occurrences)),
            key=lambda n: (
                min(end, cluster.occurrences[n].end) - max(start, cluster.occurrences[n].start)
            ),
        )
        here = cluster.occurrences[number]
        before = cluster.occurrences[number - 1].start if number else here.start
        return Found(cluster.id, here.start, here.end, before, cluster)

    def _forget(self) -> None:
        """Once in a day, drop what is older than the window."""
        day = self._next * BLOCK // DAY
        if day == self._day:
            return
        self._day = day
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
