"""The live table: what every station sends now, and what it sent lately."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from stream.events import Decision, Event, Gap, Match, Segment
from stream.sinks.text import begin_of, end_of, one_line, song

if TYPE_CHECKING:
    from collections.abc import Sequence

REDRAW_S = 0.25
MAX_STATIONS = 500  # remembered; those heard longest ago go first
LATELY = 3  # closed segments shown
BAR = 10  # characters of a probability's bar
STYLES = {"speech": "cyan", "music": "magenta", "speech_over_music": "yellow", "other": "dim"}


@dataclass(slots=True)
class _Station:
    p_speech: float = 0.0
    p_music: float = 0.0
    latest: Event | None = None  # the one that ends last
    now: Segment | None = None
    lately: deque[Segment | Gap] = field(default_factory=lambda: deque(maxlen=LATELY))
    songs: OrderedDict[str, Match] = field(default_factory=OrderedDict)


class Table:
    """Draws itself again and again in the same place.

    Drawing happens in `update`, never in a thread of its own, so an interrupted program
    leaves nothing half drawn.

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
        self._console = Console(file=file)
        wide_enough = self._console.width >= 60 and self._console.height >= 8
        self.fits = wide_enough and not self._console.is_dumb_terminal
        self._marks = "█░" if self._console.encoding.startswith("utf") else "#."
        self._stations: OrderedDict[str, _Station] = OrderedDict()
        self._live = Live(console=self._console, auto_refresh=False)
        self._drawn = 0.0
        self._closed = False

    def update(self, events: Sequence[Event]) -> None:
        """Take the events into the table; draw it unless that was done just now."""
        for event in events:
            self._take(event)
        if time.monotonic() - self._drawn >= REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw the table as it is."""
        if self._closed:
            return
        self._live.start()  # does nothing from the second time on
        self._live.update(self.render(), refresh=True)
        self._drawn = time.monotonic()

    def close(self) -> None:
        """Draw the table for the last time and give the terminal back."""
        if not self._closed and self._stations:
            self.draw()
        self._closed = True
        self._live.stop()

    def render(self) -> RenderableType:
        """Return the table, of as many stations as the terminal has room for."""
        room = max((self._console.height - 5) // 2, 1)
        table = RichTable(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1))
        table.add_column("station", no_wrap=True, overflow="ellipsis", ratio=2)
        table.add_column("now", no_wrap=True, min_width=17)
        table.add_column("speech, music", no_wrap=True)
        table.add_column("lately", no_wrap=True, overflow="ellipsis", ratio=3)
        for name in sorted(list(self._stations)[-room:]):
            state = self._stations[name]
            head = Text(f"{one_line(name)}\n")
            if state.latest is not None:
                head.append(end_of(state.latest), style="dim")
            table.add_row(head, _now(state), _bars(state, *self._marks), _lately(state))
        hidden = len(self._stations) - room
        if hidden > 0:
            return Group(table, Text(f" and {hidden} more stations", style="dim"))
        return table

    def _take(self, event: Event) -> None:
        state = self._stations.setdefault(event.station, _Station())
        self._stations.move_to_end(event.station)
        if len(self._stations) > MAX_STATIONS:
            self._stations.popitem(last=False)
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
            case Match():
                state.songs[event.track] = event
                state.songs.move_to_end(event.track)
                if len(state.songs) > 2:
                    state.songs.popitem(last=False)


def _time_of_day(event: Event) -> str:
    """Return when an event begins, without the date: there is little room."""
    return begin_of(event).rpartition(" ")[2]


def _now(state: _Station) -> Text:
    if state.now is None:
        return Text("-", style="dim")
    text = Text(state.now.label.replace("_", " "), style=STYLES[state.now.label])
    if state.now.voice:
        text.append(f", {state.now.voice}", style="dim")
    return text.append(f"\nsince {_time_of_day(state.now)}", style="dim")


def _bars(state: _Station, mark: str, rest: str) -> Text:
    text = Text()
    for label, probability in (("speech", state.p_speech), ("music", state.p_music)):
        full = round(probability * BAR)
        text.append(mark * full, style=STYLES[label])
        text.append(rest * (BAR - full), style="dim").append(f" {probability:.2f}\n", style="dim")
    text.rstrip()
    return text


def _lately(state: _Station) -> Text:
    text = Text()
    for event in reversed(state.lately):
        label = event.label if isinstance(event, Segment) else "gap"
        text.append(f"{_time_of_day(event)} ", style="dim")
        text.append(f"{label.replace('_', ' ')}  ", style=STYLES.get(label, "red"))
    songs = "  ".join(
        song(match.artist, match.title, match.track) for match in reversed(state.songs.values())
    )
    return text.append(f"\n{songs}", style="bold") if songs else text
