"""A report as one HTML page: no script, no address, pictures inside, light and dark.

Names of stations and titles of songs come from anywhere. Every text of theirs goes through `_text`,
and the page's policy allows no script and no request, should one slip through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from airsift.reports import charts
from airsift.reports.days import local_time, whole_day
from stream.lines import one_line
from stream.sinks.format import clock, song

if TYPE_CHECKING:
    from datetime import tzinfo

    from airsift.reports.clips import Clips
    from airsift.reports.playlist import Play
    from airsift.reports.report import Report, Rotation, StationReport
    from stream.history.rows import TrackRow

MAX_PLAYS = 20_000  # of a page, which browsers still scroll
_TOP = 15  # tracks in the picture
_MAX_TRACKS = 200
_MAX_OUTAGES = 200


def page_of(report: Report, clips: Clips | None = None) -> bytes:
    """Return a report as a page, in UTF-8.

    Parameters
    ----------
    report : Report
        What is in it.
    clips : Clips, optional
        The sound of unknown pieces.
    """
    template = (files("airsift") / "reports" / "page.html").read_text(encoding="utf-8")
    head, _, tail = template.partition("@BODY@")
    title = f"airsift report, {_period(report)}"
    body = "\n".join(_body(report, clips))
    # The body is put in last: a title in it may hold a mark of the template.
    return f"{head.replace('@TITLE@', _text(title))}{body}{tail}".encode()


def _body(report: Report, clips: Clips | None) -> Iterator[str]:
    yield f"<h1>{_text(_period(report))}</h1>"
    made = local_time(report.made, report.zone)
    zone = getattr(report.zone, "key", None) or f"{made:%Z}"
    yield f'<p class="soft">Times in {_text(zone)}. Made {made:%Y-%m-%d %H:%M} by airsift.</p>'
    yield charts.legend()
    listed = sum(len(station.plays) for station in report.stations) <= MAX_PLAYS
    if not listed:
        yield (
            f'<p class="warn">The playlists have more than {MAX_PLAYS} plays and are left out '
            "here: <code>--format csv</code> has them.</p>"
        )
    if len(report.stations) > 1:
        yield from _overview(report)
    for number, station in enumerate(report.stations):
        yield from _station(report, station, number, clips, listed=listed)


def _overview(report: Report) -> Iterator[str]:
    rows = []
    for number, each in enumerate(report.stations):
        total, length = each.total, report.until - report.since
        shares = [_percent(total[state], length) for state in charts.DRAWN]
        plays = sum(track.plays for track in each.rotation)
        link = f'<a href="#s{number}">{_name(each.station)}</a>'
        rows.append([link, _percent(each.heard_ms, length, exact=True), *shares, str(plays)])
    heads = ["station", "uptime", *(charts.NAMES[state] for state in charts.DRAWN), "plays"]
    yield _table(heads, rows, numbers=range(1, len(heads)))


def _station(
    report: Report, station: StationReport, number: int, clips: Clips | None, *, listed: bool
) -> Iterator[str]:
    zone = report.zone
    yield f'<h2 id="s{number}">{_name(station.station)}</h2>'
    yield _cards(report, station)
    if station.first_ms is not None:
        first = local_time(station.first_ms, zone)
        yield (
            f'<p class="soft">Stored since {first:%Y-%m-%d %H:%M}; first plays are the first since '
            "then.</p>"
        )
    if not station.has_levels:
        yield (
            '<p class="soft">No levels are stored of this time, so silence is not told from other '
            "sounds.</p>"
        )
    if len(station.hours) <= charts.MAX_BARS:
        yield "<h3>By hour</h3>"
        yield charts.bars(station.hours, daily=False)
    else:
        yield "<h3>By day</h3>"
        yield charts.bars(station.days, daily=True)
    yield "<h3>Through the day</h3>"
    yield charts.ribbon(station.runs, report.since, report.until, zone)
    if station.rotation:
        yield from _tracks(station, zone)
    if station.plays and listed:
        yield "<details open><summary>Playlist</summary>"
        yield _playlist(station, zone, clips)
        yield "</details>"
    if station.unknown:
        yield "<h3>Unknown pieces that were heard again</h3>"
        yield _unknown(station, zone, clips)
    if station.outages:
        yield from _outages(station, zone)
    if station.alarms:
        yield "<h3>Alarms</h3>"
        rows = [
            [_time(each.start, zone), "open" if each.is_open else _time(each.end, zone),
             _text(each.rule.replace("_", " ")), _text(each.severity), _text(each.text)]
            for each in station.alarms
        ]  # fmt: skip
        yield _table(["from", "to", "alarm", "severity", ""], rows)


def _cards(report: Report, station: StationReport) -> str:
    total, length = station.total, report.until - report.since
    music = total["music"] + total["speech_over_music"]
    new = sum(each.is_new for each in station.rotation)
    cards = [
        (_percent(station.heard_ms, length, exact=True), "uptime"),
        *((_percent(total[state], length), charts.NAMES[state]) for state in charts.DRAWN),
        (str(sum(each.plays for each in station.rotation)), "plays"),
        (str(len(station.rotation)), "tracks"),
        (str(new), "first plays"),
        (_percent(station.unnamed_ms, music), "of the music without a name"),
    ]
    parts = (f"<div><b>{value}</b><span>{name}</span></div>" for value, name in cards)
    return f'<div class="cards">{"".join(parts)}</div>'


def _tracks(station: StationReport, zone: tzinfo | None) -> Iterator[str]:
    longest = sorted(station.rotation, key=lambda each: -each.heard_ms)[:_TOP]
    yield "<h3>Rotation</h3>"
    yield charts.rotation(longest, [_song(each.track, each.key) for each in longest])
    yield f"<details><summary>{len(station.rotation)} tracks</summary>"
    yield _table(
        ["song", "plays", "foreground", "under speech", "first", "last"],
        [_track_row(each, zone) for each in station.rotation[:_MAX_TRACKS]],
        numbers=(1, 2, 3),
    )
    if len(station.rotation) > _MAX_TRACKS:
        yield f'<p class="soft">The first {_MAX_TRACKS}; <code>--table tracks</code> has all.</p>'
    yield "</details>"


def _track_row(each: Rotation, zone: tzinfo | None) -> list[str]:
    times = [_time(ms, zone) if ms else "" for ms in (each.first, each.last)]
    name = _song_cell(each.track, each.key, is_new=each.is_new)
    return [
        name,
        str(each.plays),
        _length(each.foreground_ms),
        _length(each.under_speech_ms),
        *times,
    ]


def _playlist(station: StationReport, zone: tzinfo | None, clips: Clips | None) -> str:
    new = {each.key for each in station.rotation if each.is_new}
    rows: list[str] = []
    today: date | None = None
    for play in station.plays:
        begin = local_time(play.begin, zone)
        if begin.date() != today:
            today = begin.date()
            rows.append(f'<tr class="day"><td colspan="6">{begin:%A %Y-%m-%d}</td></tr>')
        is_new = play.key in new and not play.continued
        new -= {play.key}
        sound = "" if clips is None else _sound(clips.song_url(station.station, play))
        rows.append(_row(_play_row(play, zone, sound, is_new=is_new), numbers=(3, 4)))
    heads = ["from", "to", "song", "foreground", "under speech", "album, label, ISRC"]
    return _framed(heads, rows, numbers=(3, 4))


def _sound(url: str) -> str:
    """Return what plays a clip; "" for none."""
    return f'<audio controls preload="none" src="{escape(url)}"></audio>' if url else ""


def _play_row(play: Play, zone: tzinfo | None, sound: str, *, is_new: bool) -> list[str]:
    begin, end = local_time(play.begin, zone), local_time(play.end, zone)
    track = play.track
    record = [] if track is None else [track.album, track.record_label, track.isrc]
    return [
        f'<span class="t">{begin:%H:%M:%S}{" …" if play.continued else ""}</span>',
        f'<span class="t">{end:%H:%M:%S}</span>',
        _song_cell(track, play.key, is_new=is_new) + sound,
        _length(play.foreground_ms),
        _length(play.under_speech_ms),
        f'<span class="soft">{_text(", ".join(filter(None, record)))}</span>',
    ]


def _unknown(station: StationReport, zone: tzinfo | None, clips: Clips | None) -> str:
    rows = []
    for each in station.unknown:
        times = ", ".join(f"{local_time(start, zone):%a %H:%M}" for start, _ in each.heard[:12])
        more = f" and {len(each.heard) - 12} more" if len(each.heard) > 12 else ""
        heard = sum(end - start for start, end in each.heard)
        what = " ".join(filter(None, (each.guess, each.label.replace("_", " "))))
        name = _text(each.cluster)
        if clips is not None:
            name += _sound(clips.url(station.station, each.cluster))
        rows.append([name, _text(what), str(len(each.heard)), _length(heard), _text(times + more)])
    return _table(["piece", "sounds like", "times", "heard", "when"], rows, numbers=(2, 3))


def _outages(station: StationReport, zone: tzinfo | None) -> Iterator[str]:
    yield "<h3>Without audio</h3>"
    longest = sorted(station.outages, key=lambda each: each.start - each.end)[:_MAX_OUTAGES]
    rows = [
        [_time(each.start, zone), _time(each.end, zone), _length(each.end - each.start),
         _text(each.reason or "nothing is stored")]
        for each in longest
    ]  # fmt: skip
    yield _table(["from", "to", "length", "reason"], rows, numbers=(2,))
    if len(station.outages) > _MAX_OUTAGES:
        yield (
            f'<p class="soft">The longest {_MAX_OUTAGES}; <code>--table outages</code> has all.</p>'
        )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Return a table; cells are HTML already."""
    numbers = tuple(numbers)
    return _framed(heads, [_row(row, numbers) for row in rows], numbers)


def _framed(heads: Sequence[str], rows: Sequence[str], numbers: Sequence[int]) -> str:
    cells = "".join(
        f"<th{' class=n' if at in numbers else ''}>{head}</th>" for at, head in enumerate(heads)
    )
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>\n{body}\n</tbody>'
        "</table></div>"
    )


def _row(cells: Sequence[str], numbers: Sequence[int]) -> str:
    parts = (
        f"<td{' class=n' if at in numbers else ''}>{cell}</td>" for at, cell in enumerate(cells)
    )
    return f"<tr>{''.join(parts)}</tr>"


def _text(text: str) -> str:
    return escape(one_line(text))


def _name(station: str) -> str:
    return f'<bdi class="name">{_text(station) or "(no name)"}</bdi>'


def _song(track: TrackRow | None, key: str) -> str:
    return one_line(key) if track is None else song(track.artist or "", track.title or "", key)


def _song_cell(track: TrackRow | None, key: str, *, is_new: bool) -> str:
    mark = ' <span class="new" title="nothing of it is stored before">new</span>' if is_new else ""
    return f"<bdi>{escape(_song(track, key))}</bdi>{mark}"


def _time(unix_ms: int, zone: tzinfo | None) -> str:
    return f'<span class="t">{local_time(unix_ms, zone):%Y-%m-%d %H:%M:%S}</span>'


def _length(milliseconds: int) -> str:
    return clock(milliseconds / 1000, tenths=False)


def _percent(part: int, whole: int, *, exact: bool = False) -> str:
    if not whole:
        return "-"
    if exact and part != whole:  # 99.996 % is not all
        return f"{min(part / whole, 0.9999):.2%}"
    if 0 < part / whole < 0.005:
        return "&lt;1%"
    return f"{part / whole:.0%}"


def _period(report: Report) -> str:
    since, until = (local_time(ms, report.zone) for ms in (report.since, report.until))
    names = [each.station for each in report.stations]
    who = one_line(names[0]) if len(names) == 1 else f"{len(names)} stations"
    edges = (report.since, report.until)
    if any(whole_day(edge, report.zone)[0] != edge for edge in edges):
        return f"{who}, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
    last = local_time(report.until - 1, report.zone)
    return f"{who}, {since:%Y-%m-%d}" + (f" to {last:%Y-%m-%d}" * (last.date() != since.date()))
