"""Events for people: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from stream.events import (
    Alarm,
    Decision,
    Event,
    Gap,
    Labelled,
    Level,
    Match,
    Repeat,
    Segment,
    Share,
)
from stream.lines import one_line
from stream.sinks.base import Sink
from stream.sinks.format import alarm, begin_of, end_of, faults, level, song
from stream.sinks.terminal import aside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.sinks.live_table import Table

MAX_REMEMBERED = 10_000  # ids of segments and matches that were printed


class ConsoleSink(Sink):
    """A live table of the stations, or one line for each segment, song and gap.

    A level has a line where what is wrong with the audio changes. An alarm has one when it opens,
    and one when it closes.

    Plain lines hold no control codes. A segment or song has two lines, one when it begins and one
    when it ends::

        radio  00:12.0  -        speech  0.93
        radio  00:12.0  00:45.0  speech  0.98  female
        radio  00:45.0  02:10.5  song    Artist - Title (0.87)

    The time of day, if known, replaces the position::

        radio  2026-09-21 14:13:20Z  14:13:53Z  speech  0.98  female

    Parameters
    ----------
    file : text file object
        The output; it is not closed.
    live : bool, optional
        Whether to draw the table; by default on terminals that can.
    """

    def __init__(self, file: TextIO, live: bool | None = None) -> None:
        self._file = file
        self._table: Table | None = None
        self._printed: dict[tuple[str, bool], None] = {}  # in order of printing
        self._faults: dict[str, str] = {}  # of stations, the latest last
        if live or (live is None and file.isatty()):
            from stream.sinks.live_table import Table

            table = Table(file)
            self._table = table if live or table.fits else None

    def write(self, events: Sequence[Event]) -> None:
        """Show the events."""
        if self._table is not None:
            self._table.update(events)
            return
        lines = [line for event in events if (line := self._line(event))]
        if lines:
            _print(self._file, "".join(f"{line}\n" for line in lines))

    def flush(self) -> None:
        """Show all events."""
        if self._table is not None:
            self._table.draw()
        elif not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        """Leave the last table on the screen, with the cursor below it."""
        if self._table is not None:
            self._table.close()

    def _line(self, event: Event) -> str | None:
        if isinstance(event, Decision):
            return None
        if isinstance(event, Level) and not self._is_news(event):
            return None
        over = event.final if isinstance(event, Segment | Labelled | Match | Alarm) else True
        if (event.id, over) in self._printed:
            return None
        self._printed[event.id, over] = None
        if len(self._printed) > MAX_REMEMBERED:
            del self._printed[next(iter(self._printed))]
        start, end = begin_of(event), end_of(event)
        end = end if over else "-".ljust(len(end))
        return f"{one_line(event.station)}  {start}  {end}  {in_words(event)}"

    def _is_news(self, event: Level) -> bool:
        """Return whether a station has other faults than before."""
        found = faults(event.to_dict())
        before = self._faults.pop(event.station, "")
        self._faults[event.station] = found
        if len(self._faults) > MAX_REMEMBERED:
            del self._faults[next(iter(self._faults))]
        return found != before


def in_words(event: Event) -> str:
    """Return what an event says, but its station and its time."""
    match event:
        case Segment():
            voice = f"  {event.voice}" if event.voice else ""
            return f"{event.label:<17}  {event.score:.2f}{voice}"
        case Labelled():
            return f"{'label':<17}  {one_line(event.label)} {event.score:.2f}"
        case Match():
            return (
                f"{'song':<17}  {song(event.artist, event.title, event.track)} ({event.score:.2f})"
            )
        case Share():
            what = song(event.artist, event.title, event.track)
            return f"{'share':<17}  a loop of {what} ({event.score:.2f})"
        case Repeat():
            times = f"{event.count} times"
            return (
                f"{'repeat':<17}  {one_line(event.title or event.guess)} ({times}, {event.cluster})"
            )
        case Level():
            return f"{'level':<17}  {level(event.to_dict())}"
        case Alarm():
            return f"{'ALARM' if not event.final else 'alarm':<17}  {alarm(event.to_dict())}"
        case Gap():
            return f"{'gap':<17}  {one_line(event.reason)}"
    return event.kind


def _print(file: TextIO, text: str) -> None:
    with aside(file):
        try:
            file.write(text)
        except UnicodeEncodeError:  # a terminal that is not UTF-8
            encoding = file.encoding or "ascii"
            file.write(text.encode(encoding, "replace").decode(encoding))
        file.flush()
