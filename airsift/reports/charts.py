"""Pictures of a report as SVG: no script, no font and no address, so that a page holds them whole.

Colours are classes of the page's style sheet, for light and dark. Every picture has a title for
those who do not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from html import escape
from itertools import pairwise

from airsift.reports.airtime import STATES, Run, sums_by_part
from airsift.reports.days import Part, days, hours, whole_day
from airsift.reports.report import Airtime, Rotation

# In which order they are drawn, from below; what is not heard is left white.
DRAWN = ("music", "speech_over_music", "speech", "other", "silence")
NAMES = {
    "music": "music", "speech_over_music": "speech over music", "speech": "speech",
    "other": "other", "silence": "silence", "gap": "gap", "unknown": "not recorded",
}  # fmt: skip
_WIDTH, _LEFT = 960, 92
_BINS = 720  # of a ribbon's day: two minutes each
_BAR_HEIGHT, _ROW, _RIBBON = 130, 18, 14
MAX_BARS = 24 * 8  # hours of a picture; longer periods have a bar a day


def legend() -> str:
    """Return the names of the colours."""
    items = (
        f'<span><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="s-{state}" width="10" '
        f'height="10"/></svg>{NAMES[state]}</span>'
        for state in (*DRAWN, "gap", "unknown")
    )
    return f'<p class="legend">{"".join(items)}</p>'


def bars(parts: Sequence[Airtime], *, daily: bool) -> str:
    """Return a bar for each hour or day, of the shares of its states.

    Parameters
    ----------
    parts : sequence of Airtime
        Hours or days.
    daily : bool
        Whether they are days.
    """
    step = (_WIDTH - _LEFT) / max(len(parts), 1)
    out = []
    for number, each in enumerate(parts):
        length = each.part.end - each.part.start
        x, y = _LEFT + number * step, float(_BAR_HEIGHT)
        name = f"{each.part.local:%a %d %b}" if daily else f"{each.part.local:%a %d %b %H:%M}"
        words = [f"{NAMES[s]} {each.sums[s] / length:.0%}" for s in STATES if each.sums[s]]
        out.append(f"<g><title>{escape(name)}: {', '.join(words)}</title>")
        out.append(_rect("hit", x, 0, step, _BAR_HEIGHT))
        for state in DRAWN:
            height = _BAR_HEIGHT * each.sums[state] / length
            y -= height
            if height:
                out.append(_rect(f"s-{state}", x, y, step - min(1.0, step / 4), height))
        out.append("</g>")
    out += _grid()
    out += _bar_names(parts, step, daily=daily)
    what = "day" if daily else "hour"
    title = f"Shares of music, speech, talk-over and silence by {what}"
    return _svg(title, _BAR_HEIGHT + 18, out)


def ribbon(runs: Sequence[Run], since: int, until: int, zone: tzinfo | None) -> str:
    """Return a row for each day with what was heard when, two minutes a step.

    A day's row is as long as the day: 23 or 25 hours where clocks are set.
    """
    rows = [(part, *whole_day(part.start, zone)) for part in days(since, until, zone)]
    longest = max((end - start for _, start, end in rows), default=1)
    scale = (_WIDTH - _LEFT) / longest
    out: list[str] = []
    for number, (part, start, end) in enumerate(rows):
        y = 16 + number * _ROW
        out.append(f'<text x="{_LEFT - 8}" y="{y + 11}" class="end">{part.local:%a %d %b}</text>')
        out += _row(runs, part, start, scale, y)
        if number == 0:
            out += _hour_names(start, end, zone, scale)
    return _svg("What was heard when, a row a day", 16 + len(rows) * _ROW, out)


def rotation(tracks: Sequence[Rotation], names: Sequence[str]) -> str:
    """Return a bar for each track, of its seconds in the foreground and under speech.

    Parameters
    ----------
    tracks : sequence of Rotation
        The tracks.
    names : sequence of str
        What each is called.
    """
    left = 340
    longest = max((each.heard_ms for each in tracks), default=0) or 1
    scale = (_WIDTH - left - 70) / longest
    out = []
    for number, (each, name) in enumerate(zip(tracks, names, strict=True)):
        y = number * _ROW
        shown = name if len(name) <= 46 else f"{name[:45]}…"
        out.append(
            f"<g><title>{escape(name)}: {each.plays} plays, {_minutes(each.heard_ms)}</title>"
        )
        out.append(f'<text x="{left - 8}" y="{y + 12}" class="end">{escape(shown)}</text>')
        x = float(left)
        parts = (
            ("music", each.foreground_ms),
            ("speech_over_music", each.under_speech_ms),
            ("other", each.other_ms),
        )
        for state, milliseconds in parts:
            if milliseconds:
                out.append(_rect(f"s-{state}", x, y + 2, milliseconds * scale, _RIBBON - 2))
                x += milliseconds * scale
        out.append(f'<text x="{x + 6:.1f}" y="{y + 12}">{each.plays}</text></g>')
    return _svg("The tracks that were heard longest", len(tracks) * _ROW + 4, out)


def _row(runs: Sequence[Run], part: Part, start: int, scale: float, y: float) -> Iterator[str]:
    """Yield the stretches of a day, each step in the colour of what it was for longest."""
    length = part.end - part.start
    count = max(min(_BINS, length // 1000), 1)
    edges = [part.start + length * number // count for number in range(count + 1)]
    steps = list(pairwise(edges))
    begin, state = part.start, ""
    for (left, _), sums in zip(steps, sums_by_part(runs, steps), strict=True):
        longest = max(STATES, key=lambda each: sums[each])
        if longest != state:
            yield from _stretch(state, begin, left, start, scale, y)
            begin, state = left, longest
    yield from _stretch(state, begin, part.end, start, scale, y)


def _stretch(state: str, begin: int, end: int, start: int, scale: float, y: float) -> Iterator[str]:
    if state and end > begin:
        x = _LEFT + (begin - start) * scale
        yield _rect(f"s-{state}", x, y, (end - begin) * scale, _RIBBON)


def _hour_names(start: int, end: int, zone: tzinfo | None, scale: float) -> Iterator[str]:
    for part in hours(start, end, zone):
        if part.local.hour % 3 == 0 and part.local.minute == 0:
            x = _LEFT + (part.start - start) * scale
            yield f'<text x="{x:.1f}" y="10">{part.local:%H}</text>'


def _bar_names(parts: Sequence[Airtime], step: float, *, daily: bool) -> Iterator[str]:
    free = 0.0
    for number, each in enumerate(parts):
        x = _LEFT + number * step
        local = each.part.local
        if daily:
            name = f"{local:%d %b}"
        elif local.hour == 0:
            name = f"{local:%a %d}"
        elif local.hour % 6 == 0 or (len(parts) <= 30 and local.hour % 3 == 0):
            name = f"{local:%H}"
        else:
            continue
        if x >= free:
            yield f'<text x="{x:.1f}" y="{_BAR_HEIGHT + 14}">{escape(name)}</text>'
            free = x + 9 * len(name)


def _grid() -> Iterator[str]:
    for share in (0, 0.5, 1):
        y = _BAR_HEIGHT * (1 - share)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{max(y, 8) + 2:.1f}" class="end">{share:.0%}</text>'


def _rect(name: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{name}" x="{x:.2f}" y="{y:.2f}" width="{max(width, 0):.2f}" '
        f'height="{max(height, 0):.2f}"/>'
    )


def _minutes(milliseconds: int) -> str:
    return f"{milliseconds / 60_000:.1f} min"


def _svg(title: str, height: float, parts: Iterable[str]) -> str:
    return (
        f'<div class="scroll"><svg class="chart" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg></div>'
    )
