"""A table for people: segments, what else is in them, and the share of each label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.formats.words import label_of, name_of, song_of
from stream.lines import one_line
from stream.sinks.format import clock, padded, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airsift.api.results import Segments


def table(segments: Segments) -> str:
    """Return a heading, lines in order of time, and the share of each label of segments.

    There is a line for each segment, each label of your own (with ``+``) and each song (with
    ``>``). Times have tenths of a second.
    """
    own = [(each, f"+ {label_of(each)}") for each in segments.labels]
    texts = [*map(label_of, segments), *(text for _, text in own)]
    wide = max([len("speech_over_music"), *map(width_of, texts)])
    rows = [
        (
            each.start_s,
            0,
            f"{_times(each.start_s, each.end_s)}  {padded(label_of(each), wide)}  "
            f"{each.score:.2f}  {one_line(each.voice or '')}",
        )
        for each in segments
    ]
    rows += [
        (
            each.start_s,
            1,
            f"{_times(each.start_s, each.end_s)}  {padded(text, wide)}  {each.score:.2f}",
        )
        for each, text in own
    ]
    rows += [
        (each.start_s, 2, f"{_times(each.start_s, each.end_s)}  > {song_of(each)}")
        for each in segments.matches
    ]
    lines = [f"{name_of(segments)}, {clock(segments.duration_s)}"]
    if segments or own:
        lines.append(f"{'start':>10}  {'end':>10}  {padded('label', wide)}  score voice")
    lines += [text.rstrip() for _, _, text in sorted(rows, key=lambda row: row[:2])]
    lines += [f"warning: {one_line(warning)}" for warning in segments.warnings]
    if shares := _shares(segments):
        lines.append(", ".join(shares))
    return "".join(f"{line}\n" for line in lines)


def _times(start_s: float, end_s: float) -> str:
    return f"{clock(start_s):>10}  {clock(end_s):>10}"


def _shares(segments: Segments) -> Iterable[str]:
    """Return the share of each label, the greatest first."""
    seconds: dict[str, float] = {}
    for each in segments:
        label = label_of(each)
        seconds[label] = seconds.get(label, 0.0) + each.end_s - each.start_s
    whole = sum(seconds.values())
    if not whole > 0:
        return []
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return [f"{label} {100 * value / whole:.0f} %" for label, value in ordered]
