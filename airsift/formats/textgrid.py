"""TextGrids of Praat, in the long text format, by praatio.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.formats.tiers import tiers_of
from airsift.formats.words import FormatError, name_of

if TYPE_CHECKING:
    from airsift.api.results import Segments

_PER_S = 1000


def textgrid(segments: Segments) -> str:
    """Return a TextGrid with the tier ``label``; ``voice``, ``own label``, ``music`` if any.

    What overlaps is in ``music``, ``music 2`` and so on: intervals of a tier cannot.

    Raises
    ------
    FormatError
        The recording has no length, which a TextGrid must have.
    """
    from praatio.utilities.constants import TextgridFormats
    from praatio.utilities.textgrid_io import getTextgridAsStr

    end_s = round(segments.duration_s * _PER_S) / _PER_S
    if not end_s > 0:
        raise FormatError(
            f"{name_of(segments)}: is 0 s long, and a TextGrid cannot be; choose another --format"
        )
    tiers = [
        {
            "class": "IntervalTier",
            "name": name,
            "xmin": 0.0,
            "xmax": end_s,
            "entries": [(each.start / _PER_S, each.end / _PER_S, each.item.text) for each in layer],
        }
        for tier in tiers_of(segments, _PER_S)
        for name, layer in tier.layers()
    ]
    grid = {"xmin": 0.0, "xmax": end_s, "tiers": tiers}
    # Blanks are filled with intervals without a text, as Praat wants them; none is too short.
    text = getTextgridAsStr(grid, TextgridFormats.LONG_TEXTGRID, True, minimumIntervalLength=None)
    return str(text)
