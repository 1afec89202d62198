"""The history for people: lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, tzinfo
from typing import TYPE_CHECKING, TextIO

from airsift.cli.moments import local
from stream.lines import one_line
from stream.sinks.format import clock, padded, shortened, song, width_of
from stream.sinks.terminal import is_terminal, size_of

if TYPE_CHECKING:
    from stream.history.plays import Play
    from stream.history.reader import Span
    from stream.history.rows import Row

_STATION = 16  # columns of a station's name
_LENGTH = 7
_NARROW = 8  # columns of a song at least, on a terminal of any width
_PARTS = "clear + under speech"


def station_lines(spans: Sequence[Span], zone: tzinfo | None) -> Iterator[str]:
    """Yield a table of the stations: from when to when something is stored."""
    width = max([len("station"), *(len(one_line(span.station)) for span in spans)])
    yield f"{'station':{width}}  {'from':16}  {'to':16}  events"
    for span in spans:
        first, last = (
            "-" if ms is None else f"{local(ms, zone):%Y-%m-%d %H:%M}"
            for ms in (span.first_ms, span.last_ms)
        )
        name = padded(one_line(span.station), width)
        yield f"{name}  {first:16}  {last:16}  {', '.join(span.kinds)}"


def moment_lines(
    span: Span,
    at_ms: int,
    zone: tzinfo | None,
    found: Mapping[str, Sequence[tuple[Row, Play | None]]],
) -> Iterator[str]:
    """Yield what a station played at a moment."""
    at = local(at_ms, zone)
    yield f"{one_line(span.station)}, {at:%a %Y-%m-%d %H:%M:%S} {at:%Z}".rstrip()
    for row, play in found.get("match", ()):
        yield f"song     {_song(row)}"
        if row.track is not None:
            record = ", ".join(filter(None, (row.track.album, row.track.record_label)))
            if record or row.track.isrc:
                isrc = f" (ISRC {row.track.isrc})" if row.track.isrc else ""
                yield f"         {one_line(record + isrc).strip()}"
        into = _seconds((at_ms - (row.starts_ms or 0)) / 1000)
        still = "" if row.final is not False else ", was still playing at the last event"
        yield f"         {_span(row, zone)}, {_length(row)}; {into} into it{still}"
        if play is not None:
            other = f", {_seconds(play.other_s)} neither" if play.other_s >= 0.5 else ""
            yield (
                f"         {_seconds(play.foreground_s)} clear, "
                f"{_seconds(play.under_speech_s)} under speech{other}"
            )
    for kind in ("segment", "label", "share", "repeat", "gap", "alarm"):
        for row, _ in found.get(kind, ()):
            what = _content(row).removeprefix(f"{kind}: ")
            yield f"{_HEADS.get(kind, kind):7}  {_span(row, zone)}  {what}"
    if not found:
        if span.first_ms is None or span.last_ms is None:
            yield "nothing is stored of it with a time: its events are those of a file"
        else:
            first, last = local(span.first_ms, zone), local(span.last_ms, zone)
            yield (
                f"nothing is stored of this time; its history begins {first:%Y-%m-%d %H:%M}, its "
                f"last event {last:%Y-%m-%d %H:%M}"
            )


class Listing:
    """Lines of a list of events, under the day they begin in.

    Parameters
    ----------
    file : text file object
        Where they will be printed: lines are shortened to a terminal's width, and nowhere else.
    zone : tzinfo, optional
        Of the times; None for this machine's.
    many : bool
        Whether the lines name the station.
    songs : bool
        Whether there may be songs, with their seconds in the foreground and under speech.

    Attributes
    ----------
    is_empty : bool
        Whether there was no event.
    """

    def __init__(self, file: TextIO, zone: tzinfo | None, *, many: bool, songs: bool) -> None:
        self._zone = zone
        self._many = many
        self._songs = songs
        self._day: date | None = None
        self.is_empty = True
        self._width = size_of(file)[0] if is_terminal(file) else 0

    def lines(self, row: Row, play: Play | None) -> Iterator[str]:
        """Yield the line of an event, with what belongs above it."""
        if self.is_empty:
            self.is_empty = False
            station = f"{'station':{_STATION}}  " if self._many else ""
            left = f"{station}{'begin':8}  {'end':8}  {'length':>{_LENGTH}}  "
            yield left + self._aligned(left, "what", _PARTS if self._songs else "")
            if row.starts_ms is None:
                yield "Without a date"
        if row.starts_ms is not None:
            day = local(row.starts_ms, self._zone)
            if day.date() != self._day:
                self._day = day.date()
                yield f"{day:%a %Y-%m-%d} {day:%Z}".rstrip()
        yield self._line(row, play)

    def _line(self, row: Row, play: Play | None) -> str:
        station = ""
        if self._many:
            station = f"{padded(shortened(one_line(row.station), _STATION), _STATION)}  "
        begin, end = _times(row, self._zone)
        left = f"{station}{begin:8}  {end:8}  {_length(row):>{_LENGTH}}  "
        right = ""
        if play is not None:
            right = f"{_seconds(play.foreground_s)} + {_seconds(play.under_speech_s)}"
        return left + self._aligned(left, _content(row), right)

    def _aligned(self, left: str, what: str, right: str) -> str:
        """Return what comes behind `left`; on a terminal `right` ends with the line."""
        right = f"  {right}" if right else ""
        if self._width:
            room = max(self._width - width_of(left) - len(right), _NARROW)
            what = shortened(what, room)
            what = padded(what, room) if right else what
        return f"{what}{right}"


_HEADS = {"segment": "label", "label": "own"}


def _content(row: Row) -> str:
    details = row.details or {}
    score = "" if row.score is None else f" {row.score:.2f}"
    match row.kind:
        case "segment":
            voice = f" {details['voice']}" if details.get("voice") else ""
            text = f"{(row.label or '').replace('_', ' ')}{voice}{score}"
        case "label":
            text = f"label: {row.label}{score}"
        case "match":
            text = f"song: {_song(row)}"
        case "share":
            text = f"a loop of {_song(row)}"
        case "repeat":
            what = details.get("title") or details.get("guess")
            text = f"repeat: {what}, {details.get('count')} times"
        case "alarm":
            text = f"alarm: {row.subject}: {details.get('text')}"
        case "gap":
            text = f"gap: {details.get('reason')}"
        case "decision":
            text = f"speech {details.get('p_speech'):.2f}  music {details.get('p_music'):.2f}"
        case "level":
            text = f"level {details.get('level_dbfs'):.1f} dBFS"
            loudness = details.get("short_term_lufs")
            text += "" if loudness is None else f", {loudness:.1f} LUFS"
        case _:
            text = row.kind
    return one_line(text + (" ..." if row.final is False else ""))


def _song(row: Row) -> str:
    if row.track is None:
        return row.subject
    return song(row.track.artist or "", row.track.title or "", row.track.track)


def _span(row: Row, zone: tzinfo | None) -> str:
    return " - ".join(_times(row, zone))


def _times(row: Row, zone: tzinfo | None) -> tuple[str, str]:
    if row.starts_ms is None or row.ends_ms is None:
        return (
            clock(row.start / row.rate, tenths=False),
            clock(row.end / row.rate, tenths=False),
        )
    begin, end = local(row.starts_ms, zone), local(row.ends_ms, zone)
    return f"{begin:%H:%M:%S}", f"{end:%H:%M:%S}"


def _length(row: Row) -> str:
    return _seconds((row.end - row.start) / row.rate)


def _seconds(seconds: float) -> str:
    text = clock(seconds, tenths=False)
    return text.removeprefix("0") if text.startswith("0") else text
