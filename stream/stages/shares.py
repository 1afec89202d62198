"""From answers to shares: what a station's music has in common with tracks that do not play.

A query that finds a loop of a track in another piece says so with every answer that covers it.
These answers are joined here, by these laws:

- A share is published once, when no later query covers it. So it does not change any more.
- Shares do not overlap each other. Many tracks may be made of one loop: answers that overlap are
  one share, which has the track of the highest score.
- Where a track plays that has a name, there is no share: its part of a share is cut out.
- A few seconds of a loop may look like the track. So a share beats an answer that is shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from stream.events import Share
from stream.stages.track_fields import track_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fingerprint.matching.matcher import TrackMatch

Span = tuple[int, int]


@dataclass(slots=True)
class Shares:
    """The shares of one station that later queries may still change, in order of time."""

    open: list[Share] = field(default_factory=list)

    def add(self, station: str, answer: TrackMatch) -> None:
        """Add what a query shares with a track."""
        share = Share(**track_fields(station, answer))
        for other in self.open:
            if _common(_span(other), _span(share)) > 0:
                share = _joined(other, share)
        apart = [each for each in self.open if _common(_span(each), _span(share)) <= 0]
        self.open = sorted([*apart, share], key=lambda each: each.start)

    def explain(self, answer: TrackMatch) -> bool:
        """Return whether a longer share covers more than half of an answer."""
        span = answer.query_start, answer.query_end
        length = span[1] - span[0]
        return any(
            each.end - each.start > length and _common(_span(each), span) > 0.5 * length
            for each in self.open
        )

    def cut(self, playings: Sequence[Span]) -> None:
        """Cut out the spans in which a track plays that has a name."""
        self.open = _without(self.open, playings)

    def finish(
        self, playings: Sequence[Span], shortest: int, before: int | None = None
    ) -> list[Share]:
        """Return the shares that end before a sample, without playings, and forget them.

        Parameters
        ----------
        playings : sequence of tuple of int
            Spans in which a track plays that has a name.
        shortest : int >= 0
            Shares with fewer samples are dropped.
        before : int, optional
            No later query covers what lies before this sample; None where no query follows.
        """
        over = [each for each in self.open if before is None or each.end <= before]
        self.open = self.open[len(over) :]
        return [each for each in _without(over, playings) if each.end - each.start >= shortest]


def _joined(a: Share, b: Share) -> Share:
    """Return one share over both spans, with the track of the stronger one."""
    stronger = max(a, b, key=lambda each: each.score)
    start = min(a.start, b.start)
    # In a loop any turn sounds like the start, so the exact one does not matter.
    place = max(stronger.track_start - (stronger.start - start), 0)
    return replace(stronger, start=start, end=max(a.end, b.end), track_start=place)


def _without(shares: Sequence[Share], spans: Sequence[Span]) -> list[Share]:
    """Return what is left of shares outside some spans."""
    left = list(shares)
    for span in spans:
        left = [part for share in left for part in _outside(share, span)]
    return left


def _outside(share: Share, span: Span) -> list[Share]:
    """Return the parts of a share on both sides of a span."""
    if _common(_span(share), span) <= 0:
        return [share]
    first, last = span
    parts = [replace(share, end=first)] if share.start < first else []
    if last < share.end:
        place = share.track_start + last - share.start
        parts.append(replace(share, start=last, track_start=place))
    return parts


def _span(share: Share) -> Span:
    return share.start, share.end


def _common(a: Span, b: Span) -> int:
    """Return the samples that two spans have in common; negative between two apart."""
    return min(a[1], b[1]) - max(a[0], b[0])
