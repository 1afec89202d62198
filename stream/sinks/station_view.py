"""What a person sees of a station: its state by its events, and pieces of lines that show it."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from stream.events import Alarm, Decision, Event, Gap, Level, Match, Segment
from stream.sinks.format import begin_of, faults, in_cells, song

if TYPE_CHECKING:
    from collections.abc import Sequence

LATELY = 3  # closed segments that are remembered
SONGS = 2  # and songs
MAX_ALARMS = 20  # and open alarms; there is one of each rule
BAR = 10  # characters of a probability's bar
STYLES = {"speech": "cyan", "music": "magenta", "speech_over_music": "yellow", "other": "dim"}
ALARM_STYLES = {"warning": "bold yellow", "critical": "bold red"}


@dataclass(slots=True)
class StationView:
    """A station by its events so far."""

    p_speech: float = 0.0
    p_music: float = 0.0
    latest: Event | None = None  # the one that ends last
    now: Segment | None = None
    level: Level | None = None
    alarms: OrderedDict[str, Alarm] = field(default_factory=OrderedDict)  # that are open, by id
    lately: deque[Segment | Gap] = field(default_factory=lambda: deque(maxlen=LATELY))
    songs: OrderedDict[str, Match] = field(default_factory=OrderedDict)
    updated: float = 0.0  # when its newest event came, by the viewer's clock

    def add(self, event: Event) -> None:
        """Take the next event."""
        if self.latest is None or event.end >= self.latest.end:
            self.latest = event
        match event:
            case Decision():
                self.p_speech, self.p_music = event.p_speech, event.p_music
            case Segment(final=False):
                self.now = event
            case Segment():
                self.now = None
                self.lately.append(event)
            case Gap():
                self.lately.append(event)
            case Level():
                self.level = event
            case Alarm(final=False):
                self.alarms[event.id] = event
                if len(self.alarms) > MAX_ALARMS:
                    self.alarms.popitem(last=False)
            case Alarm():
                self.alarms.pop(event.id, None)
            case Match():
                self.songs[event.track] = event
                self.songs.move_to_end(event.track)
                if len(self.songs) > SONGS:
                    self.songs.popitem(last=False)


def row(cells: Sequence[Text], widths: Sequence[int], gap: int) -> Text:
    """Return cells, each in its width, side by side."""
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        cell.truncate(width, overflow="ellipsis", pad=True)
        line.append_text(cell).append(" " * gap)
    line.rstrip()
    return line


def label_of(segment: Segment | None) -> Text:
    """Return the label of the open segment, and whose voice it is."""
    if segment is None:
        return Text("-", style="dim")
    text = Text(segment.label.replace("_", " "), style=STYLES.get(segment.label, ""))
    if segment.voice:
        text.append(f", {segment.voice}", style="dim")
    return text


def bar(probability: float, label: str, marks: str, length: int = BAR) -> Text:
    """Return a probability as a bar and a number.

    Parameters
    ----------
    probability : float
        In [0, 1].
    label : str
        Of what, for its colour.
    marks : str
        A full and an empty part of a bar.
    length : int > 0
        Columns of the bar; the number has five more.
    """
    full = round(min(max(probability, 0.0), 1.0) * length)
    text = Text(marks[0] * full, style=STYLES[label])
    return text.append(marks[1] * (length - full), style="dim").append(
        f" {probability:.2f}", style="dim"
    )


def song_of(match: Match) -> str:
    """Return a song as one line of known width."""
    return in_cells(song(match.artist, match.title, match.track))


def time_of_day(event: Event) -> str:
    """Return the begin of an event without the date, to save room."""
    return begin_of(event).rpartition(" ")[2]


def loudness_of(level: Level) -> Text:
    """Return the loudness of a level; the level of audio that is too short for one."""
    if level.momentary_lufs is None:
        return Text(f"{level.level_dbfs:.1f} dBFS", "dim")
    return Text(f"{level.momentary_lufs:.1f} LUFS", "dim")


def faults_of(level: Level) -> Text:
    """Return what is wrong by a level; empty where nothing is."""
    return Text(faults(level.to_dict()), "red")
