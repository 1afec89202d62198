"""WebVTT and SubRip, by webvtt-py: a cue for each segment, with the songs in it.

A label of your own is a line of its own: cues are divided where it begins and ends.

WebVTT: https://www.w3.org/TR/webvtt1/. SubRip has no standard; it is what players agree on.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from airsift.formats.intervals import Interval, pieces, without_overlap
from airsift.formats.tiers import LABEL, OWN_LABEL, tiers_of
from airsift.formats.words import matches_in, song_of

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

    tiers = {tier.name: tier.intervals for tier in tiers_of(segments, _PER_S, voices_apart=False)}
    lines = [
        Interval(each.start, each.end, (each.item.text, matches_in(segments, each.item.of)))
        for each in without_overlap(tiers[LABEL])
    ]
    lines += [
        Interval(each.start, each.end, (each.item.text, [])) for each in tiers.get(OWN_LABEL, ())
    ]
    captions = []
    for cue in pieces(lines):  # players show one cue at a time
        start_s, end_s = cue.start / _PER_S, cue.end / _PER_S
        texts = [text for text, _ in cue.item] + [
            song_of(match)
            for _, matches in cue.item
            for match in matches
            if match.start_s < end_s and start_s < match.end_s
        ]
        # A blank line would end the cue.
        shown = [escaped(text) for text in dict.fromkeys(texts) if text.strip()] or [""]
        captions.append(Caption(_time(cue.start), _time(cue.end), shown))
    return WebVTT(captions=captions)


def _time(ticks: int) -> str:
    seconds, thousandths = divmod(ticks, _PER_S)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}"
