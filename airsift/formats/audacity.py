"""Label tracks of Audacity: a line with begin, end and text, divided by tabs.

https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.formats.tiers import tiers_of

if TYPE_CHECKING:
    from airsift.api.results import Segments

_PER_S = 1_000_000  # Audacity writes six decimals


def audacity(segments: Segments) -> str:
    """Return a line for each segment, then for each label of your own, then for each song."""
    return "".join(
        f"{each.start / _PER_S:.6f}\t{each.end / _PER_S:.6f}\t{each.item.text}\n"
        for tier in tiers_of(segments, _PER_S, voices_apart=False)
        for each in tier.intervals
    )
