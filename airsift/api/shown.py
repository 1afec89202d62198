"""Segments for people: as text, and as HTML in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from stream.lines import one_line
from stream.sinks.format import clock, song

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airsift.api.results import Segments

# Of Okabe and Ito's palette, as in the pictures of `airsift plot`.
COLOURS = {
    "speech": "#0072B2", "music": "#E69F00", "speech_over_music": "#CC79A7", "other": "#999999",
}  # fmt: skip
_ELSE = "#56B4E9"  # labels of other networks
MAX_ROWS = 60  # as pandas shows
_CELL = "text-align:left;padding:0.1em 0.8em"


def as_text(segments: Segments) -> str:
    """Return a heading, a line for each segment, and a line for each match and warning."""
    lines = [_heading(segments)]
    head, left_out = segments[:MAX_ROWS], len(segments) - MAX_ROWS
    for each in head:
        row = f"{each.start_s:9.2f} {each.end_s:9.2f}  {one_line(each.label):<17}  {each.score:.3f}"
        lines.append(f"{row}  {one_line(each.voice)}" if each.voice else row)
    if left_out > 0:
        lines.append(f"      ... {left_out} more")
    lines += [
        f"{each.start_s:9.2f} {each.end_s:9.2f}  plays {_song(each.artist, each.title, each.track)}"
        for each in segments.matches[:MAX_ROWS]
    ]
    lines += [f"warning: {one_line(warning)}" for warning in segments.warnings[:MAX_ROWS]]
    return "\n".join(lines)


def as_html(segments: Segments) -> str:
    """Return a strip of the labels, a table of the segments, and one of the matches, escaped."""
    parts = [f"<p>{html.escape(_heading(segments))}</p>", _strip(segments)]
    parts.append(
        _table(
            ("start", "end", "label", "score", "voice"),
            (
                (clock(s.start_s), clock(s.end_s), s.label, f"{s.score:.3f}", s.voice or "")
                for s in segments[:MAX_ROWS]
            ),
        )
    )
    if len(segments) > MAX_ROWS:
        parts.append(f"<p>{len(segments) - MAX_ROWS} more segments</p>")
    if segments.matches:
        parts.append(
            _table(
                ("start", "end", "plays", "score"),
                (
                    (
                        clock(m.start_s),
                        clock(m.end_s),
                        _song(m.artist, m.title, m.track),
                        f"{m.score:.2f}",
                    )
                    for m in segments.matches[:MAX_ROWS]
                ),
            )
        )
    parts += [f"<p>warning: {html.escape(one_line(w))}</p>" for w in segments.warnings[:MAX_ROWS]]
    return "".join(parts)


def _heading(segments: Segments) -> str:
    name = one_line(segments.name) or "audio"
    return f"Segments of {name}, {segments.duration_s:.2f} s"


def _song(artist: str | None, title: str | None, track: str) -> str:
    return one_line(song(artist or "", title or "", track))


def _strip(segments: Segments) -> str:
    """Return the labels over time as a strip of colours, with a legend."""
    whole = segments.duration_s
    if not whole > 0:
        return ""
    spans = "".join(
        f'<span title="{clock(s.start_s)} {html.escape(one_line(s.label))}" '
        f'style="position:absolute;top:0;bottom:0;left:{100 * s.start_s / whole:.3f}%;'
        f'width:{100 * (s.end_s - s.start_s) / whole:.3f}%;background:{_colour(s.label)}"></span>'
        for s in segments
    )
    legend = "".join(
        f'<span style="color:{_colour(label)}">&#9632;</span> '
        f"{html.escape(one_line(label).replace('_', ' '))}&ensp;"
        for label in dict.fromkeys(s.label for s in segments)
    )
    frame = "position:relative;height:1.5em;background:#eeeeee"
    return f'<div style="{frame}">{spans}</div><p>{legend}</p>'


def _colour(label: str) -> str:
    return COLOURS.get(label, _ELSE)


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in names)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{_CELL}">{html.escape(one_line(cell))}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
