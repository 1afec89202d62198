"""What somebody at a microphone sees: a few lines in place, and a history that scrolls above them.

::

    2026-09-21 14:13:20Z  14:13:53Z  speech             0.98  female
    2026-09-21 14:13:53Z  14:15:10Z  song               Artist - Title (5.12)
    USB Audio Device, 48 kHz stereo                                  02:07  Ctrl-C ends
    level   ██████████████████████████░░░░░|░░░░░░░░░░░░░░░░  -21.4 dBFS, peak -12.0
    now     speech over music, female  0.93   since 14:15:10Z
    speech  ███████████████░░░░░ 0.74   music  ███████████████████░ 0.97
    song    Artist - Title, 01:12

The history is whole lines of the terminal: it scrolls, stays and can be copied.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from rich.text import Text

from stream.events import Event, Gap, Labelled, Match, Repeat, Segment, Share
from stream.sinks import terminal
from stream.sinks.base import Sink
from stream.sinks.console import in_words
from stream.sinks.format import begin_of, clock, end_of, in_cells, shortened
from stream.sinks.in_place import InPlace
from stream.sinks.level_meter import LevelMeter
from stream.sinks.station_view import (
    StationView,
    bar,
    faults_of,
    label_of,
    loudness_of,
    song_of,
    time_of_day,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream.audio import AudioChunk

REDRAW_S = 0.1
SILENT_S = 1.5  # without a block after which this is said
SONG_S = 10.0  # after a match ended, its song is still shown
_WORD = 8  # columns of the word before each line
_ASIDE = 60  # columns from which on both bars have one line
_METER = len("  -120.0 dBFS, peak -120.0")


class ListeningSink(Sink):
    """The view of one microphone.

    Parameters
    ----------
    file : text file object
        The terminal.
    device : str
        What is listened to.
    now : callable
        A monotonic clock, in seconds.

    Attributes
    ----------
    fits : bool
        Whether the terminal can move its cursor and has room.
    loading : str
        What is still being loaded; empty where all is there.
    waits_for : str
        What is missing before there is audio; empty where nothing is.
    """

    def __init__(
        self, file: TextIO, device: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._file, self._device, self._now = file, device, now
        self._place = InPlace(file, self.render)
        self.fits = self._place.fits
        self.loading = self.waits_for = ""
        self._meter = LevelMeter()
        self._view = StationView()
        self._began = self._last_audio = now()
        self._drawn = -REDRAW_S

    def on_audio(self, chunks: Sequence[AudioChunk]) -> None:
        """Take the next audio, or that there is none; redraw it unless it was drawn just now."""
        now = self._now()
        self._meter.push(chunks)
        if chunks:
            self._last_audio = now
        elif now - self._last_audio > SILENT_S:
            self._meter.clear()
        if now - self._drawn >= REDRAW_S:
            self.flush()

    def write(self, events: Sequence[Event]) -> None:
        """Show the events."""
        for event in events:
            self._view.add(event)
        over = [event for event in events if _is_over(event)]
        if not over:
            return
        columns = terminal.size_of(self._file)[0]
        with terminal.aside(self._file):
            for event in over:
                line = f"{begin_of(event)}  {end_of(event)}  {in_words(event)}"
                print(_printable(shortened(in_cells(line), columns), self._file), file=self._file)
            self._file.flush()

    def flush(self) -> None:
        """Draw it."""
        self._place.draw()
        self._drawn = self._now()

    def close(self) -> None:
        """Erase what is drawn in place; the history stays."""
        self._place.close(leave=False)

    def render(self, columns: int, rows: int) -> list[Text]:
        """Return the lines in place, in less than `rows`, of at most `columns` each."""
        problem, now = self._problem(), self._now_line()
        essential = [problem or self._head(columns), self._level_line(columns), now]
        lines = [self._head(columns), *([problem] if problem else []), *essential[1:]]
        lines += [*self._bars(columns), *self._song(columns)]
        if self._view.level is not None:
            level = loudness_of(self._view.level).append("  ")
            lines.append(_line("loud", level.append_text(faults_of(self._view.level))))
        if len(lines) >= rows:
            lines = essential[: max(rows - 1, 1)]
        for line in lines:
            line.truncate(columns, overflow="ellipsis")
        return lines

    def _head(self, columns: int) -> Text:
        elapsed = f"{clock(self._now() - self._began, tenths=False)}  Ctrl-C ends"
        room = columns - len(elapsed) - 2
        if room < _WORD:
            return Text(shortened(in_cells(self._device), columns), "bold")
        name = Text(shortened(in_cells(self._device), room), "bold")
        name.append(" " * (columns - len(elapsed) - name.cell_len))
        return name.append(elapsed, "dim")

    def _problem(self) -> Text | None:
        """Return why nothing is heard, or not yet."""
        silent_s = self._now() - self._last_audio
        if self.waits_for or silent_s > SILENT_S:
            what = f"waits for {self.waits_for}: plug it in" if self.waits_for else "is it muted?"
            return Text(f"no audio for {silent_s:.0f} s; {in_cells(what)}", "red")
        if self.loading:
            return Text(f"{self.loading}: {self._now() - self._began:.0f} s", "yellow")
        return None

    def _level_line(self, columns: int) -> Text:
        meter, length = self._meter, columns - _WORD - _METER
        numbers = f"  {meter.level_dbfs:.1f} dBFS, peak {meter.peak_dbfs:.1f}"
        if length < _WORD:
            length, numbers = columns - _WORD, ""
        return _line("level", meter.render(max(length, 1), self._place.marks).append(numbers))

    def _now_line(self) -> Text:
        segment = self._view.now
        text = label_of(segment)
        if segment is not None:
            text.append(f"  {segment.score:.2f}", "dim")
            text.append(f"   since {time_of_day(segment)}", "dim")
        return _line("now", text)

    def _bars(self, columns: int) -> list[Text]:
        """Return the probabilities, side by side where there is room."""
        view, marks = self._view, self._place.marks
        number = len(" 0.00")
        if columns < _ASIDE:
            length = max(columns - _WORD - number, 1)
            return [
                _line("speech", bar(view.p_speech, "speech", marks, length)),
                _line("music", bar(view.p_music, "music", marks, length)),
            ]
        length = (columns - 2 * _WORD - 2 * number - 3) // 2
        line = _line("speech", bar(view.p_speech, "speech", marks, length)).append("   ")
        music = _line("music", bar(view.p_music, "music", marks, length))
        return [line.append_text(music)]

    def _song(self, columns: int) -> list[Text]:
        """Return the song that plays, and how far it is."""
        match, latest = next(reversed(self._view.songs.values()), None), self._view.latest
        if match is None or latest is None:
            return []
        if latest.end / latest.rate - match.end / match.rate > SONG_S:
            return []
        into_s = (match.track_start + match.end - match.start) / match.rate
        into = f", {clock(into_s, tenths=False)}"
        name = shortened(song_of(match), max(columns - _WORD - len(into), 1))
        return [_line("song", Text(name, "bold").append(into, "dim"))]


def _is_over(event: Event) -> bool:
    """Return whether an event belongs into the history."""
    if isinstance(event, Segment | Labelled | Match):
        return event.final
    return isinstance(event, Gap | Share | Repeat)


def _line(word: str, text: Text) -> Text:
    return Text(word.ljust(_WORD), "dim").append_text(text)


def _printable(line: str, file: TextIO) -> str:
    """Return a line in characters that the terminal has."""
    encoding = file.encoding or "utf-8"
    return line.encode(encoding, "replace").decode(encoding)
