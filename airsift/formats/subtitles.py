"""WebVTT and SubRip, by webvtt-py: a cue for each segment, with the songs in it.

WebVTT: https://www.w3.org/TR/webvtt1/. SubRip has no standard; it is what players agree on.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from airsift.formats.intervals import in_ticks, without_overlap
from airsift.formats.words import label_and_voice, songs_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import webvtt

    from airsift.api.results import Segments

_PER_S = 1000
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# SubRip has no escapes: these would begin a tag, or look like the line of a cue's times.
_LOOKALIKES = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "{": "(",
        "}": ")",
    }
)


def vtt(segments: Segments) -> str:
    """Return WebVTT."""
    found = _captions(segments, lambda text: text.translate(_ENTITIES))
    return f"{found.content}\n"


def srt(segments: Segments) -> str:
    """Return SubRip; angle brackets and braces in titles become others that look alike."""
    found = _captions(segments, _plain)
    text = io.StringIO()
    found.write(text, format="srt")
    return f"{text.getvalue()}\n" if found.captions else ""


def _plain(text: str) -> str:
    if "-->" in text:  # some readers take any two times in a line for those of a cue
        text = text.replace(":", ".")
    return text.translate(_LOOKALIKES)


def _captions(segments: Segments, escaped: Callable[[str], str]) -> webvtt.WebVTT:
    from webvtt import Caption, WebVTT

    # Players show one cue at a time.
    intervals = without_overlap(in_ticks(segments, _PER_S, segments.duration_s))
    return WebVTT(
        captions=[
            Caption(
                _time(each.start),
                _time(each.end),
                [
                    escaped(text)
                    for text in (label_and_voice(each.item), *songs_in(segments, each.item))
                ],
            )
            for each in intervals
        ]
    )


def _time(ticks: int) -> str:
    seconds, thousandths = divmod(ticks, _PER_S)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"
