"""The live table: the current and the latest segments of every station."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from stream.events import Alarm, Decision, Event, Gap, Level, Match, Segment
from stream.sinks import terminal
from stream.sinks.format import (
    begin_of,
    end_of,
    faults,
    in_cells,
    shortened,
    song,
    width_of,
    wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

REDRAW_S = 0.25
MAX_STATIONS = 500  # in memory; the least recently active are dropped
MAX_ALARMS = 20  # of a station; it has one of each rule
LATELY = 3  # closed segments shown
BAR = 10  # characters of a probability's bar
SILENT_S = 10.0  # a station without events for longer makes room for others
STYLES = {"speech": "cyan", "music": "magenta", "speech_over_music": "yellow", "other": "dim"}
ALARM_STYLES = {"warning": "bold yellow", "critical": "bold red"}

_SMALLEST = (20, 4)  # columns and rows; below, lines are shown instead
_GAP = 2  # columns between columns
_NOW = len("speech over music")
_BARS = BAR + len(" 0.00")
_DETAILED = 60  # columns from which on a station has more than one line
_SONGS_ASIDE = 150  # columns from which on there is room for titles in a column
_HIDE, _SHOW, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[J"


@dataclass(slots=True)
class _Station:
    p_speech: float = 0.0
    p_music: float = 0.0
    latest: Event | None = None  # the one that ends last
    now: Segment | None = None
    level: Level | None = None
    alarms: OrderedDict[str, Alarm] = field(default_factory=OrderedDict)  # that are open, by id
    lately: deque[Segment | Gap] = field(default_factory=lambda: deque(maxlen=LATELY))
    songs: OrderedDict[str, Match] = field(default_factory=OrderedDict)
    updated: float = 0.0  # `time.monotonic` of its newest event


class Table:
    """Redraws itself in place, in the available room.

    It is drawn on new events, and around lines that others write to the terminal
    (`stream.sinks.terminal`), never in a thread of its own; the cursor is hidden only while it is
    drawn. So the terminal works however the process ends.

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
        self._file = file
        self._console = Console(file=file, highlight=False)
        columns, rows = terminal.size_of(file)
        self.fits = terminal.can_draw(file) and columns >= _SMALLEST[0] and rows >= _SMALLEST[1]
        self._marks = "█░" if self._console.encoding.startswith("utf") else "#."
        self._stations: OrderedDict[str, _Station] = OrderedDict()
        self._shown: list[str] = []
        self._drawn = -REDRAW_S
        self._height = 0  # lines on the screen, the cursor at the end of the last
        self._columns = columns  # when they were drawn
        self._closed = False

    def update(self, events: Sequence[Event]) -> None:
        """Add the events to the table; draw it unless it was drawn just now."""
        with terminal.locked():
            for event in events:
                self._add(event)
        if time.monotonic() - self._drawn >= REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw the table."""
        if self._closed:
            return
        with terminal.locked():
            terminal.begin(self)
            columns, rows = terminal.size_of(self._file)
            lines = self._ansi(self.render(columns, rows), columns)
            text = f"\n{_CLEAR_LINE}".join(lines)
            self._write(
                f"{_HIDE}{self._home(columns, rows)}{_CLEAR_LINE}{text}{_CLEAR_BELOW}{_SHOW}"
            )
            self._height, self._columns = len(lines), columns
            self._drawn = time.monotonic()

    def erase(self) -> None:
        """Erase the table from the screen."""
        if self._height:
            self._write(f"{self._home(*terminal.size_of(self._file))}{_CLEAR_BELOW}")
            self._height = 0

    def close(self) -> None:
        """Draw the table for the last time and release the terminal."""
        if self._closed:
            return
        if self._stations:
            self.draw()
            self._write("\n")
        self._closed = True
        terminal.end(self)

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

    def _home(self, columns: int, rows: int) -> str:
        """Return the control codes that move the cursor to the first drawn line."""
        if self._height and columns < self._columns:
            # Terminals wrap or cut lines that became too long, so their place is unknown: scroll
            # everything away.
            return f"\x1b[{rows};1H" + "\n" * rows + "\x1b[H"
        return "\r" + (f"\x1b[{self._height - 1}A" if self._height > 1 else "")

    def _ansi(self, lines: Sequence[Text], columns: int) -> list[str]:
        self._console.size = ConsoleDimensions(columns, len(lines))
        with self._console.capture() as capture:
            for line in lines:
                self._console.print(line, no_wrap=True, crop=False, soft_wrap=True)
        return capture.get().removesuffix("\n").split("\n")

    def _write(self, text: str) -> None:
        encoding = self._file.encoding or "utf-8"
        self._file.write(text.encode(encoding, "replace").decode(encoding))
        self._file.flush()

    def _add(self, event: Event) -> None:
        state = self._stations.setdefault(event.station, _Station())
        self._stations.move_to_end(event.station)
        if len(self._stations) > MAX_STATIONS:
            self._stations.popitem(last=False)
        state.updated = time.monotonic()
        if state.latest is None or event.end >= state.latest.end:
            state.latest = event
        match event:
            case Decision():
                state.p_speech, state.p_music = event.p_speech, event.p_music
            case Segment(final=False):
                state.now = event
            case Segment():
                state.now = None
                state.lately.append(event)
            case Gap():
                state.lately.append(event)
            case Level():
                state.level = event
            case Alarm(final=False):
                state.alarms[event.id] = event
                if len(state.alarms) > MAX_ALARMS:
                    state.alarms.popitem(last=False)
            case Alarm():
                state.alarms.pop(event.id, None)
            case Match():
                state.songs[event.track] = event
                state.songs.move_to_end(event.track)
                if len(state.songs) > 2:
                    state.songs.popitem(last=False)


def _widths(columns: int) -> tuple[int, int, int, int]:
    """Return the widths of station, now, speech and music, and lately."""
    rest = columns - _NOW - _BARS - 3 * _GAP
    name = max(12, min(rest * 2 // 5, 40))
    return name, _NOW, _BARS, rest - name


def _row(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        cell.truncate(width, overflow="ellipsis", pad=True)
        line.append_text(cell).append(" " * _GAP)
    line.rstrip()
    return line


def _head(columns: int) -> Text:
    titles = ("station", "now", "speech, music", "lately")
    return _row([Text(title, style="bold") for title in titles], _widths(columns))


def _detailed(name: str, state: _Station, columns: int, marks: str) -> list[Text]:
    """Return the lines of a station: its current segment, since when, and its songs.

    A name or title that does not fit into its column has lines of its own.
    """
    name = in_cells(name)
    songs = [_song(match) for match in reversed(state.songs.values())]
    latest = Text("" if state.latest is None else end_of(state.latest), style="dim")
    since = Text("" if state.now is None else f"since {_time_of_day(state.now)}", style="dim")
    bars = [_bar(state.p_speech, "speech", marks), _bar(state.p_music, "music", marks)]
    widths = _widths(columns)
    wide = columns >= _SONGS_ASIDE
    left = [latest, Text()] if width_of(name) > widths[0] else [Text(name), latest]
    lines = [
        _row([left[0], _now(state), bars[0], _lately(state, widths[3])], widths),
        _row([left[1], since, bars[1], Text("  ".join(songs) if wide else "", "bold")], widths),
    ]
    if state.level is not None:
        lines.append(_row([Text(), _level(state.level), Text(), _faults(state.level)], widths))
    for each in state.alarms.values():
        text = shortened(in_cells(f"{each.rule}: {each.text}"), columns - 2)
        lines.append(Text(f"  {text}", ALARM_STYLES[each.severity]))
    if width_of(name) > widths[0]:
        lines.insert(0, Text(shortened(name, columns)))
    if songs and not wide:
        lines += [Text(f"  {line}", "bold") for line in wrapped(songs[0], columns - 2, 2)]
    return lines


def _compact(name: str, state: _Station, columns: int) -> Text:
    """Return the one line of a station: its current segment, and its song or the one before."""
    width = min(max((columns - _NOW) // 2 - _GAP, 8), 30)
    last = next(reversed(state.songs.values()), None)
    rest = max(columns - width - _NOW - 2 * _GAP, 0)
    more = _lately(state, rest) if last is None else Text(_song(last), "bold")
    if state.level is not None and (found := _faults(state.level)):
        more = found
    if state.alarms:
        latest = next(reversed(state.alarms.values()))
        more = Text(in_cells(latest.text), ALARM_STYLES[latest.severity])
    cells = [Text(shortened(in_cells(name), width, middle=True)), _now(state), more]
    return _row(cells, [width, _NOW, rest])


def _song(match: Match) -> str:
    return in_cells(song(match.artist, match.title, match.track))


def _time_of_day(event: Event) -> str:
    """Return the begin of an event without the date, to save room."""
    return begin_of(event).rpartition(" ")[2]


def _now(state: _Station) -> Text:
    if state.now is None:
        return Text("-", style="dim")
    text = Text(state.now.label.replace("_", " "), style=STYLES.get(state.now.label, ""))
    if state.now.voice:
        text.append(f", {state.now.voice}", style="dim")
    return text


def _level(level: Level) -> Text:
    if level.momentary_lufs is None:
        return Text(f"{level.level_dbfs:.1f} dBFS", "dim")
    return Text(f"{level.momentary_lufs:.1f} LUFS", "dim")


def _faults(level: Level) -> Text:
    return Text(faults(level.to_dict()), "red")


def _bar(probability: float, label: str, marks: str) -> Text:
    full = round(min(max(probability, 0.0), 1.0) * BAR)
    text = Text(marks[0] * full, style=STYLES[label])
    return text.append(marks[1] * (BAR - full), style="dim").append(
        f" {probability:.2f}", style="dim"
    )


def _lately(state: _Station, width: int) -> Text:
    """Return the latest closed segments that fit, at least one."""
    text = Text()
    for event in reversed(state.lately):
        label = event.label if isinstance(event, Segment) else "gap"
        one = Text(f"{_time_of_day(event)} ", "dim")
        one.append(label.replace("_", " "), STYLES.get(label, "red"))
        if text and text.cell_len + 2 + one.cell_len > width:
            break
        text = Text("  ").join([text, one]) if text else one
    return text
