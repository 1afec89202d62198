"""Label tracks of Audacity: a line with begin, end and text, divided by tabs.

https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.formats.intervals import in_ticks
from airsift.formats.words import label_and_voice, song_of

if TYPE_CHECKING:
    from airsift.api.results import Segments

_PER_S = 1_000_000  # Audacity writes six decimals


def audacity(segments: Segments) -> str:
    """Return a line for each segment, then one for each song."""
    lines = [
        (each.start, each.end, label_and_voice(each.item))
        for each in in_ticks(segments, _PER_S, segments.duration_s)
    ]
    songs = [
        (each.start, each.end, song_of(each.item))
        for each in in_ticks(segments.matches, _PER_S, segments.duration_s)
    ]
    return "".join(
        f"{start / _PER_S:.6f}\t{end / _PER_S:.6f}\t{text}\n"
        for start, end, text in (*lines, *songs)
    )
