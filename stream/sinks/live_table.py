"""The live table: the current and the latest segments of every station."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, TextIO

from rich.text import Text

from stream.events import Event, Segment
from stream.sinks import terminal
from stream.sinks.format import end_of, in_cells, shortened, width_of, wrapped
from stream.sinks.in_place import InPlace
from stream.sinks.station_view import (
    ALARM_STYLES,
    BAR,
    STYLES,
    StationView,
    bar,
    faults_of,
    label_of,
    loudness_of,
    row,
    song_of,
    time_of_day,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

REDRAW_S = 0.25
MAX_STATIONS = 500  # in memory; the least recently active are dropped
SILENT_S = 10.0  # a station without events for longer makes room for others

_GAP = 2  # columns between columns
_NOW = len("speech over music")
_BARS = BAR + len(" 0.00")
_DETAILED = 60  # columns from which on a station has more than one line
_SONGS_ASIDE = 150  # columns from which on there is room for titles in a column


class Table:
    """Redraws itself in place, in the available room.

    It is drawn on new events, see `InPlace`.

    Parameters
    ----------
    file : text file object
        The terminal.

    Attributes
    ----------
    fits : bool
        Whether the terminal can move its cursor and has room for the table.
    """

    def __init__(self, file: TextIO) -> None:
        self._place = InPlace(file, self.render)
        self.fits, self._marks = self._place.fits, self._place.marks
        self._stations: OrderedDict[str, StationView] = OrderedDict()
        self._shown: list[str] = []
        self._drawn = -REDRAW_S

    def update(self, events: Sequence[Event]) -> None:
        """Add the events to the table; draw it unless it was drawn just now."""
        with terminal.locked():
            for event in events:
                self._add(event)
        if time.monotonic() - self._drawn >= REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw the table."""
        self._place.draw()
        self._drawn = time.monotonic()

    def close(self) -> None:
        """Draw the table for the last time and release the terminal."""
        self._place.close(leave=bool(self._stations))

    def render(self, columns: int, rows: int) -> list[Text]:
        """Return the lines of the table, in less than `rows`, of at most `columns` each."""
        lines = self._lines(columns, max(rows - 1, 2))  # the last row stays free
        for line in lines:
            line.truncate(columns, overflow="ellipsis")
        return lines

    def _lines(self, columns: int, room: int) -> list[Text]:
        if columns >= _DETAILED and 1 + 2 * len(self._stations) <= room:
            lines = [_head(columns)]
            for name in sorted(self._stations):
                lines += _detailed(name, self._stations[name], columns, self._marks)
            if len(lines) <= room:
                return lines
        names = self._choose(room - 1)  # one line may count the others
        lines = [_compact(name, self._stations[name], columns) for name in names]
        hidden = len(self._stations) - len(names)
        if hidden > 0:
            more = f"and {hidden} more station{'s' if hidden > 1 else ''}"
            lines.append(Text(more, style="dim"))
        return lines

    def _choose(self, room: int) -> list[str]:
        """Return the stations to show, sorted; active ones that were shown before stay."""
        if len(self._stations) <= room + 1:
            return sorted(self._stations)
        silent = time.monotonic() - SILENT_S
        known = self._stations
        self._shown = [s for s in self._shown if s in known and known[s].updated > silent][:room]
        for name in reversed(known):
            if len(self._shown) >= room:
                break
            if name not in self._shown:
                self._shown.append(name)
        return sorted(self._shown)

    def _add(self, event: Event) -> None:
        state = self._stations.setdefault(event.station, StationView())
        self._stations.move_to_end(event.station)
        if len(self._stations) > MAX_STATIONS:
            self._stations.popitem(last=False)
        state.updated = time.monotonic()
        state.add(event)


def _widths(columns: int) -> tuple[int, int, int, int]:
    """Return the widths of station, now, speech and music, and lately."""
    rest = columns - _NOW - _BARS - 3 * _GAP
    name = max(12, min(rest * 2 // 5, 40))
    return name, _NOW, _BARS, rest - name


def _row(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    return row(cells, widths, _GAP)


def _head(columns: int) -> Text:
    titles = ("station", "now", "speech, music", "lately")
    return _row([Text(title, style="bold") for title in titles], _widths(columns))


def _detailed(name: str, state: StationView, columns: int, marks: str) -> list[Text]:
    """Return the lines of a station: its current segment, since when, and its songs.

    A name or title that does not fit into its column has lines of its own.
    """
    name = in_cells(name)
    songs = [song_of(match) for match in reversed(state.songs.values())]
    latest = Text("" if state.latest is None else end_of(state.latest), style="dim")
    since = Text("" if state.now is None else f"since {time_of_day(state.now)}", style="dim")
    bars = [bar(state.p_speech, "speech", marks), bar(state.p_music, "music", marks)]
    widths = _widths(columns)
    wide = columns >= _SONGS_ASIDE
    left = [latest, Text()] if width_of(name) > widths[0] else [Text(name), latest]
    lines = [
        _row([left[0], label_of(state.now), bars[0], _lately(state, widths[3])], widths),
        _row([left[1], since, bars[1], Text("  ".join(songs) if wide else "", "bold")], widths),
    ]
    if state.level is not None:
        lines.append(
            _row([Text(), loudness_of(state.level), Text(), faults_of(state.level)], widths)
        )
    for each in state.alarms.values():
        text = shortened(in_cells(f"{each.rule}: {each.text}"), columns - 2)
        lines.append(Text(f"  {text}", ALARM_STYLES[each.severity]))
    if width_of(name) > widths[0]:
        lines.insert(0, Text(shortened(name, columns)))
    if songs and not wide:
        lines += [Text(f"  {line}", "bold") for line in wrapped(songs[0], columns - 2, 2)]
    return lines


def _compact(name: str, state: StationView, columns: int) -> Text:
    """Return the one line of a station: its current segment, and its song or the one before."""
    width = min(max((columns - _NOW) // 2 - _GAP, 8), 30)
    last = next(reversed(state.songs.values()), None)
    rest = max(columns - width - _NOW - 2 * _GAP, 0)
    more = _lately(state, rest) if last is None else Text(song_of(last), "bold")
    if state.level is not None and (found := faults_of(state.level)):
        more = found
    if state.alarms:
        latest = next(reversed(state.alarms.values()))
        more = Text(in_cells(latest.text), ALARM_STYLES[latest.severity])
    cells = [Text(shortened(in_cells(name), width, middle=True)), label_of(state.now), more]
    return _row(cells, [width, _NOW, rest])


def _lately(state: StationView, width: int) -> Text:
    """Return the latest closed segments that fit, at least one."""
    text = Text()
    for event in reversed(state.lately):
        label = event.label if isinstance(event, Segment) else "gap"
        one = Text(f"{time_of_day(event)} ", "dim")
        one.append(label.replace("_", " "), STYLES.get(label, "red"))
        if text and text.cell_len + 2 + one.cell_len > width:
            break
        text = Text("  ").join([text, one]) if text else one
    return text
