"""Scores of the demo's events. Times are integer milliseconds, intervals half-open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.mixing import merge_spans
from stream.demo.programme import Play, Stretch

if TYPE_CHECKING:
    from stream.events import Label


@dataclass(frozen=True, slots=True)
class NamedTrack:
    """A track that was identified in [start, end)."""

    start: int
    end: int
    track: str


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Of `total` milliseconds with a label in truth, `right` were published with it."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """Right over total, 0 to 1; 1 if the total is 0."""
        return self.right / self.total if self.total else 1.0

    def __add__(self, other: LabelScore) -> LabelScore:
        return LabelScore(self.right + other.right, self.total + other.total)


@dataclass(frozen=True, slots=True)
class SongScore:
    """The result for the songs.

    Parameters
    ----------
    found, missed : tuple of Play
        Known tracks that were identified while they played, and those that were not.
    false : tuple of NamedTrack
        Tracks identified while they did not play.
    """

    found: tuple[Play, ...]
    missed: tuple[Play, ...]
    false: tuple[NamedTrack, ...]


def score_labels(truth: Sequence[Stretch], published: Sequence[Stretch]) -> dict[Label, LabelScore]:
    """Return the correctly labelled time of each label in `truth`.

    Time that no segment covers counts as wrong, and time that several cover counts once.
    """
    out: dict[Label, LabelScore] = {}
    for stretch in truth:
        same = merge_spans((s.start, s.end) for s in published if s.label == stretch.label)
        right = sum(
            max(0, min(end, stretch.end) - max(start, stretch.start)) for start, end in same
        )
        score = LabelScore(right, stretch.end - stretch.start)
        out[stretch.label] = out.get(stretch.label, LabelScore(0, 0)) + score
    return out


def total(scores: Sequence[LabelScore]) -> LabelScore:
    """Return several scores as one."""
    return sum(scores, LabelScore(0, 0))


def score_songs(plays: Sequence[Play], named: Sequence[NamedTrack]) -> SongScore:
    """Return which tracks were identified, missed, and identified wrongly."""
    known = [play for play in plays if play.known]
    found = tuple(play for play in known if any(_meet(play, name) for name in named))
    return SongScore(
        found,
        tuple(play for play in known if play not in found),
        tuple(name for name in named if not any(_meet(play, name) for play in plays)),
    )


def _overlap(start: int, end: int, other_start: int, other_end: int) -> int:
    return max(0, min(end, other_end) - max(start, other_start))


def _meet(play: Play, name: NamedTrack) -> bool:
    return play.track == name.track and _overlap(play.start, play.end, name.start, name.end) > 0
