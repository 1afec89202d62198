"""Intervals in the units of a format: ordered, inside the recording, none of length 0.

Rounding keeps the order, so what does not overlap in seconds does not overlap in ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Timed(Protocol):
    """A segment or a match."""

    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


Item = TypeVar("Item")
TimedItem = TypeVar("TimedItem", bound=Timed)


@dataclass(frozen=True, slots=True)
class Interval(Generic[Item]):
    """An item, with its times in ticks.

    Parameters
    ----------
    start, end : int >= 0
        Ticks from the recording's begin; ``start < end``.
    item
        What lies there.
    """

    start: int
    end: int
    item: Item


def in_ticks(
    items: Iterable[TimedItem], per_s: int, duration_s: float
) -> list[Interval[TimedItem]]:
    """Return items in ticks, ordered by their begin.

    What lies behind the recording's end is cut off, and what is left with no tick is left out.

    Parameters
    ----------
    items : iterable of Segment or Match
        In any order; they may overlap.
    per_s : int > 0
        Ticks in a second.
    duration_s : float >= 0
        Length of the recording.
    """
    last = round(duration_s * per_s)
    found = [
        Interval(start, end, item)
        for item in items
        if (start := max(round(item.start_s * per_s), 0))
        < (end := min(round(item.end_s * per_s), last))
    ]
    return sorted(found, key=lambda each: (each.start, each.end))


def in_layers(intervals: Iterable[Interval[Item]]) -> list[list[Interval[Item]]]:
    """Return intervals, ordered by their begin, in as few layers as hold them without overlap.

    There is one for segments, which do not overlap. Songs overlap where one is faded into the next,
    and labels of your own do as they like.
    """
    layers: list[list[Interval[Item]]] = []
    for each in intervals:
        free = next((layer for layer in layers if layer[-1].end <= each.start), None)
        if free is None:
            layers.append([each])
        else:
            free.append(each)
    return layers


def without_overlap(intervals: Iterable[Interval[Item]]) -> list[Interval[Item]]:
    """Return intervals, ordered by their begin, each ended where the next one begins."""
    kept: list[Interval[Item]] = []
    for each in intervals:
        if kept and kept[-1].end > each.start:
            before = kept.pop()
            if before.start < each.start:
                kept.append(Interval(before.start, each.start, before.item))
        kept.append(each)
    return kept


def pieces(intervals: Sequence[Interval[Item]]) -> list[Interval[list[Item]]]:
    """Return the time in which anything lies, divided at every begin and end.

    Each piece has what lies in it, in the order in which it was given.
    """
    begins: dict[int, list[int]] = {}
    for number, each in enumerate(intervals):
        begins.setdefault(each.start, []).append(number)
    found: list[Interval[list[Item]]] = []
    here: list[int] = []
    for start, end in pairwise(sorted({*begins, *(each.end for each in intervals)})):
        here = [number for number in here if intervals[number].end > start]
        here = sorted([*here, *begins.get(start, ())])
        if here:
            found.append(Interval(start, end, [intervals[number].item for number in here]))
    return found
