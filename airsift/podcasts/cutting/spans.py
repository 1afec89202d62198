"""What is kept of a recording: stretches of some labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from airsift.api.results import Segment

Span = tuple[float, float]  # seconds, half-open


def kept_spans(
    segments: Iterable[Segment], labels: Collection[str], min_s: float = 0.0
) -> list[Span]:
    """Return the stretches that have one of some labels, in order of time.

    Parameters
    ----------
    segments : iterable of Segment
        In order of time, without overlap.
    labels : collection of str
        What is kept; neighbours of two of these labels are one stretch.
    min_s : float >= 0
        Shorter stretches are left out.
    """
    spans: list[Span] = []
    for each in segments:
        if each.label not in labels or each.end_s <= each.start_s:
            continue
        if spans and each.start_s <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], each.end_s)
        else:
            spans.append((each.start_s, each.end_s))
    return [span for span in spans if span[1] - span[0] >= min_s]
