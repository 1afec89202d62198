"""RTTM, the Rich Transcription Time Marked format of NIST, by pyannote.core.

Rich Transcription 2009 evaluation plan, appendix A: ten fields divided by spaces.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airsift.formats.intervals import in_ticks
from airsift.formats.words import label_of, name_of

if TYPE_CHECKING:
    from airsift.api.results import Segments

_PER_S = 1000


def rttm(segments: Segments) -> str:
    """Return a line ``SPEAKER name 1 begin length <NA> <NA> label <NA> <NA>`` for each segment.

    White space in names and labels becomes ``_``, because it divides the fields.
    """
    from pyannote.core import Annotation
    from pyannote.core import Segment as Interval

    annotation = Annotation(uri=_field(name_of(segments)))
    for number, each in enumerate(in_ticks(segments, _PER_S, segments.duration_s)):
        interval = Interval(each.start / _PER_S, each.end / _PER_S)
        annotation[interval, number] = _field(label_of(each.item))
    return str(annotation.to_rttm())


def _field(text: str) -> str:
    return re.sub(r"\s", "_", text) or "<NA>"
