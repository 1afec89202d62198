"""How much of what was heard is true. All times are integer milliseconds, intervals half-open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.mixing import merge_spans
from stream.demo.programme import Play, Stretch

if TYPE_CHECKING:
    from stream.events import Label


@dataclass(frozen=True, slots=True)
class Heard:
    """A track that was named in [start, end)."""

    start: int
    end: int
    track: str


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Of `total` milliseconds that have this label in truth, `right` were heard to have it."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """Right over total, 0 to 1; 1 where there is nothing to hear."""
        return self.right / self.total if self.total else 1.0

    def __add__(self, other: LabelScore) -> LabelScore:
        return LabelScore(self.right + other.right, self.total + other.total)


@dataclass(frozen=True, slots=True)
class SongScore:
    """What became of the songs.

    Parameters
    ----------
    found, missed : tuple of Play
        Known tracks that were named while they played, and those that were not.
    false : tuple of Heard
        Names given to a moment when that track did not play.
    """

    found: tuple[Play, ...]
    missed: tuple[Play, ...]
    false: tuple[Heard, ...]


def score_labels(truth: Sequence[Stretch], heard: Sequence[Stretch]) -> dict[Label, LabelScore]:
    """Return the time heard right of each label in `truth`.

    Time that no segment covers counts as wrong, and time that several cover counts once.
    """
    out: dict[Label, LabelScore] = {}
    for stretch in truth:
        same = merge_spans((s.start, s.end) for s in heard if s.label == stretch.label)
        right = sum(
            max(0, min(end, stretch.end) - max(start, stretch.start)) for start, end in same
        )
        score = LabelScore(right, stretch.end - stretch.start)
        out[stretch.label] = out.get(stretch.label, LabelScore(0, 0)) + score
    return out


def total(scores: Sequence[LabelScore]) -> LabelScore:
    """Return several scores as one."""
    return sum(scores, LabelScore(0, 0))


def score_songs(plays: Sequence[Play], heard: Sequence[Heard]) -> SongScore:
    """Return which of the tracks that played were named, and which names were wrong."""
    known = [play for play in plays if play.known]
    found = tuple(play for play in known if any(_meet(play, name) for name in heard))
    return SongScore(
        found,
        tuple(play for play in known if play not in found),
        tuple(name for name in heard if not any(_meet(play, name) for play in plays)),
    )


def _overlap(start: int, end: int, other_start: int, other_end: int) -> int:
    return max(0, min(end, other_end) - max(start, other_start))


def _meet(play: Play, name: Heard) -> bool:
    return play.track == name.track and _overlap(play.start, play.end, name.start, name.end) > 0
