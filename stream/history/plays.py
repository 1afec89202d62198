"""How much of a song was in the foreground, and how much under speech: matches against segments."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream.history.rows import Row

if TYPE_CHECKING:
    from stream.history.reader import History

_SPOKEN = ("speech", "speech_over_music")


@dataclass(frozen=True, slots=True)
class Play:
    """A song that a station played.

    `foreground_s`, `under_speech_s` and `other_s` are the seconds of it in segments of music, in
    segments with speech, and in neither. Their sum is the length of the match.
    """

    row: Row
    foreground_s: float
    under_speech_s: float
    other_s: float


def plays_of(matches: Iterable[Row], segments: Iterable[tuple[int, int, str]]) -> list[Play]:
    """Divide matches of one station by its segments.

    Parameters
    ----------
    matches : iterable of Row
        With times.
    segments : iterable of (int, int, str)
        Begin and end in milliseconds, and label, in order of their begins. They may overlap, as
        where a process ended and another began anew: then speech counts.
    """
    spoken, music = _Union(), _Union()
    for start, end, label in segments:
        if label in _SPOKEN:
            spoken.add(start, end)
        elif label == "music":
            music.add(start, end)
    either = _Union()
    for start, end in sorted([*spoken.spans(), *music.spans()]):
        either.add(start, end)
    found = []
    for row in matches:
        start, end = row.starts_ms or 0, row.ends_ms or 0
        under, labelled = spoken.within(start, end), either.within(start, end)
        parts = (labelled - under, under, end - start - labelled)
        found.append(Play(row, *(part / 1000 for part in parts)))
    return found


def plays(history: History, station: str, matches: Sequence[Row]) -> Iterator[Play]:
    """Divide matches of a station, in order of their begins, by what the history has of it."""
    dated = [row for row in matches if row.starts_ms is not None]
    if not dated:
        return iter(())
    since = min(row.starts_ms or 0 for row in dated)
    until = max(row.ends_ms or 0 for row in dated) + 1
    return iter(plays_of(dated, history.labels(station, since, until)))


def union_ms(spans: Iterable[tuple[int, int]], within: Iterable[tuple[int, int]]) -> int:
    """Return how much of disjoint intervals a union of others covers, in milliseconds.

    Parameters
    ----------
    spans : iterable of (int, int)
        The others, in order of their begins.
    within : iterable of (int, int)
        The intervals.
    """
    union = _Union()
    for start, end in spans:
        union.add(start, end)
    return sum(union.within(start, end) for start, end in within)


class _Union:
    """A union of intervals, which are added in order of their begins."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        if end <= start:
            return
        if self._ends and start <= self._ends[-1]:
            self._ends[-1] = max(self._ends[-1], end)
        else:
            self._starts.append(start)
            self._ends.append(end)

    def spans(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def within(self, start: int, end: int) -> int:
        """Return how much of [start, end) is in the union."""
        total = 0
        for index in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[index] >= end:
                break
            total += min(self._ends[index], end) - max(self._starts[index], start)
        return total
