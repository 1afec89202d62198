"""What is wrong with a station by one of its levels, for people and for gauges.

A level says what was measured. Here are the limits above which that is called a fault: one sample
in a row too many is no clipping that is heard, and programmes have tenths of a second of nothing
between two pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FAULTS = ("dead_channel", "frozen", "clipped", "digital_silence", "opposite_phase")
CLIPPED_PER_S = 100  # samples in a row at full scale
SILENCE_S = 1.0
OPPOSITE = -0.5  # correlation of left and right below which much is lost in mono


def faults_of(level: Mapping[str, Any]) -> list[str]:
    """Return the faults that a level shows, those of `FAULTS` in this order.

    Parameters
    ----------
    level : mapping
        An event ``airsift.level/1``, as in its JSON.
    """
    correlation = level["correlation"]
    shown = (
        bool(level["dead_channels"]),
        level["frozen"],
        level["clipped"] >= CLIPPED_PER_S * (level["end_s"] - level["start_s"]),
        level["silence_s"] >= SILENCE_S,
        correlation is not None and correlation < OPPOSITE,
    )
    return [name for name, is_shown in zip(FAULTS, shown, strict=True) if is_shown]
