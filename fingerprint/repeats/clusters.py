"""Clusters: the runs of a station as equivalence classes of spans.

A run says that two spans are one recording. Two spans at one place, of about the same extent, are
one occurrence, whichever runs they come from. A cluster is a class of the smallest equivalence
relation with both, so it does not depend on the order in which runs come: a spot that is played
`n` times is one cluster of `n` occurrences.

The extent is part of it. A jingle that also opens a programme gives spans of 5 s and spans of 60 s
that begin at one place, and these make two clusters: the jingle with all its occurrences, and the
programme with its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from statistics import median_low
from typing import TYPE_CHECKING

from fingerprint.repeats.alignment import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fingerprint.repeats.store import StoredRun

# Two spans are of one occurrence if they share this part of what they cover together.
SAME_EXTENT = 0.7

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A span of a station in which the sound of a cluster is played.

    Parameters
    ----------
    start, end : int
        Frames, half-open.
    label : str
        Label of most of it; empty where unknown.
    """

    start: int
    end: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A sound that is played several times.

    Parameters
    ----------
    id : str
        Stays the same while further occurrences come and old ones are dropped.
    occurrences : list of Occurrence
        In order of time, two or more.
    share : float in [0, 1]
        Median part of the peaks that the occurrences have in common.
    """

    id: str
    occurrences: list[Occurrence]
    share: float

    @property
    def length(self) -> int:
        """Frames: the median."""
        return median_low(each.end - each.start for each in self.occurrences)

    @property
    def label(self) -> str:
        """The label of most occurrences; empty where unknown."""
        labels = Counter(each.label for each in self.occurrences if each.label)
        return min(labels, key=lambda label: (-labels[label], label)) if labels else ""


class Clusters:
    """Runs, and the clusters that they make.

    Parameters
    ----------
    station : str
        The station, a part of the clusters' ids.
    """

    def __init__(self, station: str) -> None:
        self._station = station
        self._runs: list[StoredRun] = []
        self._parent: list[int] = []  # of spans: run i has spans 2 i (later) and 2 i + 1 (earlier)
        self._members: dict[int, list[int]] = {}  # runs by the root of their spans
        self._places: defaultdict[int, list[int]] = defaultdict(list)  # spans by block

    def __len__(self) -> int:
        return len(self._members)

    @property
    def runs(self) -> Sequence[StoredRun]:
        """The runs, in the order in which they came."""
        return self._runs

    def add(self, stored: StoredRun) -> None:
        """Add a run."""
        number = len(self._runs)
        self._runs.append(stored)
        self._parent += [2 * number, 2 * number]
        self._members[2 * number] = [number]
        for span in (2 * number, 2 * number + 1):
            for block in self._blocks(span):
                for other in self._places[block]:
                    if self._root(other) != self._root(span) and same_extent(
                        self._span(span), self._span(other)
                    ):
                        self._unite(other, span)
                self._places[block].append(span)

    def name(self, run: int, id_: str) -> None:
        """Keep the id of the cluster with a run, by its number."""
        self._runs[run] = replace(self._runs[run], cluster=id_)

    def id_of(self, run: int) -> str:
        """Return the id of the cluster of a run, by its number."""
        members = self._members[self._root(2 * run)]
        first = min(members, key=lambda each: _age(self._runs[each]))
        stored = self._runs[first]
        if stored.cluster:
            return stored.cluster
        run_ = stored.run
        name = f"{self._station}\0{run_.start}\0{run_.lag}"
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]

    def runs_with(self, run: int) -> list[StoredRun]:
        """Return the runs of the cluster of a run, by its number."""
        return [self._runs[each] for each in self._members[self._root(2 * run)]]

    def cluster_of(self, run: int) -> Cluster:
        """Return the cluster of a run, by its number."""
        return _cluster(self.id_of(run), self.runs_with(run))

    def all(self) -> list[Cluster]:
        """Return all clusters, in the order of their first occurrences."""
        found = [self.cluster_of(members[0]) for members in self._members.values()]
        return sorted(found, key=lambda each: (each.occurrences[0].start, each.id))

    def near(self, start: int, end: int) -> list[StoredRun]:
        """Return the runs whose later spans touch [start, end)."""
        blocks = range(start // BLOCK, (end - 1) // BLOCK + 1)
        spans = {span for block in blocks for span in self._places.get(block, ()) if span % 2 == 0}
        runs = [self._runs[span // 2] for span in sorted(spans)]
        return [each for each in runs if each.run.start < end and start < each.run.end]

    def _span(self, span: int) -> Span:
        run = self._runs[span // 2].run
        back = run.lag if span % 2 else 0
        return run.start - back, run.end - back

    def _blocks(self, span: int) -> range:
        start, end = self._span(span)
        return range(start // BLOCK, (end - 1) // BLOCK + 1)

    def _root(self, span: int) -> int:
        while self._parent[span] != span:
            self._parent[span] = self._parent[self._parent[span]]
            span = self._parent[span]
        return span

    def _unite(self, a: int, b: int) -> None:
        a, b = sorted((self._root(a), self._root(b)))
        self._parent[b] = a
        self._members[a] += self._members.pop(b)


def clusters_of(station: str, runs: Iterable[StoredRun]) -> Clusters:
    """Return the clusters of some runs."""
    clusters = Clusters(station)
    for stored in runs:
        clusters.add(stored)
    return clusters


def same_extent(a: Span, b: Span) -> bool:
    """Return whether two spans share most of what they cover together."""
    common = min(a[1], b[1]) - max(a[0], b[0])
    return common > 0 and common >= SAME_EXTENT * (max(a[1], b[1]) - min(a[0], b[0]))


def _age(stored: StoredRun) -> tuple[int, int, int]:
    return stored.block, stored.run.start, stored.run.lag


def _cluster(id_: str, runs: list[StoredRun]) -> Cluster:
    """Return the occurrences of runs that belong together, with common borders.

    A voice over the end of one occurrence shortens its runs, but not those between the others. So
    all occurrences get the borders on which they agree: the median over the occurrences of the
    longest run of each.
    """
    runs = sorted(runs, key=_age)
    spans = sorted(
        [(s.run.start, s.run.end, s) for s in runs]
        + [(s.run.start - s.run.lag, s.run.end - s.run.lag, s) for s in runs],
        key=lambda span: span[:2],
    )
    groups: list[list[tuple[int, int, StoredRun]]] = []
    for span in spans:
        if groups and any(same_extent(span[:2], other[:2]) for other in groups[-1]):
            groups[-1].append(span)
        else:
            groups.append([span])
    extents = [(min(s for s, _, _ in g), max(e for _, e, _ in g)) for g in groups]
    number = {}
    for index, group in enumerate(groups):
        for start, _, stored in group:
            number[id(stored), start] = index
    zero = _zeros(runs, extents, number)
    start = median_low(extent[0] - zero[i] for i, extent in enumerate(extents))
    end = median_low(extent[1] - zero[i] for i, extent in enumerate(extents))
    occurrences = []
    for index, group in enumerate(groups):
        labels = Counter(
            stored.label for first, _, stored in group if stored.label and first == stored.run.start
        )
        label = min(labels, key=lambda each: (-labels[each], each)) if labels else ""
        occurrences.append(Occurrence(zero[index] + start, zero[index] + end, label))
    shares = sorted(stored.run.share for stored in runs)
    return Cluster(id_, occurrences, shares[len(shares) // 2])


def _zeros(
    runs: list[StoredRun],
    extents: list[Span],
    number: dict[tuple[int, int], int],
) -> dict[int, int]:
    """Return the frame of each occurrence that plays what the first one plays at its start."""
    links: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for stored in runs:
        later = number[id(stored), stored.run.start]
        earlier = number[id(stored), stored.run.start - stored.run.lag]
        links[later].append((earlier, -stored.run.lag))
        links[earlier].append((later, stored.run.lag))
    zero: dict[int, int] = {}
    for first in range(len(extents)):  # one component, unless extents grew apart
        if first in zero:
            continue
        zero[first] = extents[first][0]
        waiting = [first]
        for here in waiting:
            for there, lag in links[here]:
                if there not in zero:
                    zero[there] = zero[here] + lag
                    waiting.append(there)
    return zero
