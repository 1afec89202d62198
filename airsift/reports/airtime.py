"""What a station was at each moment of a period: exactly one of `STATES`.

::

    segments   [ music      ][ speech over music ]        [ other    ]
    gaps                                          [ gap ]
    silences                                                  [    ]
    states     music         speech_over_music    gap     other sil. unknown

Segments may overlap, as where two processes had a station at the same time. Then the state that
stands earlier in `STATES` counts, so a moment's state depends on what is stored of that moment
alone. From this follows what is wanted of sums: the states of a period add up to its length, and
the parts of a period, however it is cut, add up to the period.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# The labels, from which segments with another one count as other; then what is not heard.
STATES = ("speech_over_music", "speech", "music", "other", "silence", "gap", "unknown")
LABELS = ("speech_over_music", "speech", "music", "other", "silence")
MUSIC = ("music", "speech_over_music")
_OTHER, _GAP, _UNKNOWN = STATES.index("other"), STATES.index("gap"), STATES.index("unknown")


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch [start, end) of one state, in milliseconds."""

    start: int
    end: int
    state: str


def runs_of(
    segments: Iterable[tuple[int, int, str]],
    gaps: Iterable[tuple[int, int]],
    silences: Iterable[tuple[int, int]],
    since: int,
    until: int,
) -> list[Run]:
    """Return the states of [since, until), in order and without holes.

    Parameters
    ----------
    segments : iterable of (int, int, str)
        Begin, end and label.
    gaps, silences : iterable of (int, int)
        Begin and end. A silence counts within segments of "other" alone.
    since, until : int
        The period.
    """
    ranks = {state: rank for rank, state in enumerate(STATES[: _OTHER + 1])}
    spans = [(start, end, ranks.get(label, _OTHER)) for start, end, label in segments]
    spans += [(start, end, _GAP) for start, end in gaps]
    quiet = len(STATES)
    spans += [(start, end, quiet) for start, end in silences]
    changes: list[tuple[int, int, int]] = []
    for start, end, rank in spans:
        start, end = max(start, since), min(end, until)
        if start < end:
            changes += [(start, rank, 1), (end, rank, -1)]
    changes.sort()
    active = [0] * (quiet + 1)
    runs: list[Run] = []
    at = since
    for moment, rank, change in changes:
        if moment > at:
            _append(runs, at, moment, _state(active))
            at = moment
        active[rank] += change
    if until > at:
        _append(runs, at, until, _state(active))
    return runs


def seconds_of(runs: Iterable[Run]) -> dict[str, float]:
    """Return the seconds of each state; all of them, also those with none."""
    return in_seconds(_sums(runs))


def in_seconds(sums: Mapping[str, int]) -> dict[str, float]:
    """Return milliseconds of states as seconds."""
    return {state: sums.get(state, 0) / 1000 for state in STATES}


def sums_by_part(runs: Sequence[Run], parts: Sequence[tuple[int, int]]) -> Iterator[dict[str, int]]:
    """Yield the milliseconds of each state in each part; parts and runs are in order."""
    first = 0
    for start, end in parts:
        sums = dict.fromkeys(STATES, 0)
        while first < len(runs) and runs[first].end <= start:
            first += 1
        for index in range(first, len(runs)):
            run = runs[index]
            if run.start >= end:
                break
            sums[run.state] += min(run.end, end) - max(run.start, start)
        yield sums


def _sums(runs: Iterable[Run]) -> dict[str, int]:
    sums = dict.fromkeys(STATES, 0)
    for run in runs:
        sums[run.state] += run.end - run.start
    return sums


def _state(active: Sequence[int]) -> str:
    rank = next((rank for rank in range(_GAP + 1) if active[rank]), _UNKNOWN)
    return "silence" if rank == _OTHER and active[-1] else STATES[rank]


def _append(runs: list[Run], start: int, end: int, state: str) -> None:
    if runs and runs[-1].state == state:
        start = runs.pop().start
    runs.append(Run(start, end, state))
