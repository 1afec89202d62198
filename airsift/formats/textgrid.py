"""TextGrids of Praat, in the long text format, by praatio.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airsift.formats.intervals import in_layers, in_ticks
from airsift.formats.words import FormatError, label_of, name_of, song_of
from stream.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from airsift.api.results import Match, Segment, Segments
    from airsift.formats.intervals import Interval

    Item = TypeVar("Item", Segment, Match)

_PER_S = 1000


def textgrid(segments: Segments) -> str:
    """Return a TextGrid with the tier ``label``; ``voice``, ``own label``, ``music`` if any.

    Songs that overlap are in ``music``, ``music 2`` and so on: intervals of a tier cannot.

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
    labels = in_ticks(segments, _PER_S, segments.duration_s)
    voices = [each for each in labels if each.item.voice]
    own = in_ticks(segments.labels, _PER_S, segments.duration_s)
    songs = in_ticks(segments.matches, _PER_S, segments.duration_s)
    tiers = [
        *_tiers("label", in_layers(labels) or [[]], label_of, end_s),
        *_tiers("voice", in_layers(voices), lambda each: one_line(each.voice or ""), end_s),
        *_tiers("own label", in_layers(own), label_of, end_s),
        *_tiers("music", in_layers(songs), song_of, end_s),
    ]
    grid = {"xmin": 0.0, "xmax": end_s, "tiers": tiers}
    # Blanks are filled with intervals without a text, as Praat wants them; none is too short.
    text = getTextgridAsStr(grid, TextgridFormats.LONG_TEXTGRID, True, minimumIntervalLength=None)
    return str(text)


def _tiers(
    name: str,
    layers: list[list[Interval[Item]]],
    text_of: Callable[[Item], str],
    end_s: float,
) -> list[dict[str, object]]:
    return [
        {
            "class": "IntervalTier",
            "name": f"{name} {number}" if number > 1 else name,
            "xmin": 0.0,
            "xmax": end_s,
            "entries": [
                (each.start / _PER_S, each.end / _PER_S, text_of(each.item)) for each in layer
            ],
        }
        for number, layer in enumerate(layers, 1)
    ]
