"""A report as tables: what CSV, JSON, XLSX and Parquet hold."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, TypeAlias

from airsift.reports.airtime import STATES
from airsift.reports.days import local_time
from stream.lines import iso_time, one_line

if TYPE_CHECKING:
    from airsift.json_types import JsonObject
    from airsift.reports.report import Airtime, Report, StationReport
    from stream.history.rows import TrackRow

Value: TypeAlias = "str | int | float | bool | datetime | None"


class Kind(enum.Enum):
    """What a column holds."""

    text = "text"
    integer = "integer"
    number = "number"
    flag = "flag"
    time = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what it holds."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one part of a report. Times are `datetime` with their difference to UTC."""

    name: str
    columns: tuple[Column, ...]
    rows: list[tuple[Value, ...]]


class Part(enum.StrEnum):
    """The parts of a report that are tables."""

    playlist = "playlist"
    tracks = "tracks"
    hours = "hours"
    days = "days"
    unknown = "unknown"
    outages = "outages"
    alarms = "alarms"
    stations = "stations"


def table_of(report: Report, part: Part) -> Table:
    """Return one part of a report, with the rows of all stations."""
    columns, rows = _PARTS[part]
    found = [row for station in report.stations for row in rows(station, report.zone)]
    return Table(part.value, (_STATION, *columns), found)


def as_object(report: Report) -> JsonObject:
    """Return a report as JSON's types: an object for each station, with all parts of it."""
    stations: list[JsonObject] = []
    for station in report.stations:
        entry: JsonObject = {"station": station.station, "has_levels": station.has_levels}
        for part in Part:
            columns, rows = _PARTS[part]
            names = [column.name for column in columns]
            objects = [
                dict(zip(names, map(_json, row[1:]), strict=True))
                for row in rows(station, report.zone)
            ]
            if part is Part.stations:
                entry |= objects[0]
            else:
                entry[part.value] = [*objects]
        stations.append(entry)
    return {
        "schema": "airsift.report/1",
        "since": iso_of(report.since, report.zone),
        "until": iso_of(report.until, report.zone),
        "made": iso_time(report.made / 1000),
        "stations": [*stations],
    }


def iso_of(unix_ms: int, zone: tzinfo | None) -> str:
    """Return a time in ISO 8601 with its difference to UTC."""
    return one_line(local_time(unix_ms, zone).isoformat(timespec="milliseconds"))


def _json(value: Value) -> str | int | float | bool | None:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value


def _columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name, kind in kinds.items())


_TEXT, _NUMBER, _INTEGER, _FLAG, _TIME = (
    Kind.text, Kind.number, Kind.integer, Kind.flag, Kind.time,
)  # fmt: skip
_STATION = Column("station", _TEXT)
_TRACK = _columns(
    artist=_TEXT, title=_TEXT, album=_TEXT, isrc=_TEXT, record_label=_TEXT, track=_TEXT
)
_PARTED = _columns(foreground_s=_NUMBER, under_speech_s=_NUMBER, other_s=_NUMBER)
_AIRTIME = tuple(Column(f"{state}_s", _NUMBER) for state in STATES)
_SPAN = _columns(begin=_TIME, end=_TIME, length_s=_NUMBER)


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


def _track(track: TrackRow | None, key: str) -> tuple[Value, ...]:
    if track is None:
        return "", "", "", "", "", key
    fields = track.artist, track.title, track.album, track.isrc, track.record_label, track.track
    return tuple(field or "" for field in fields)


def _span(start: int, end: int, zone: tzinfo | None) -> tuple[Value, ...]:
    return local_time(start, zone), local_time(end, zone), _seconds(end - start)


def _playlist(station: StationReport, zone: tzinfo | None) -> Iterator[tuple[Value, ...]]:
    new = {each.key for each in station.rotation if each.is_new}
    for play in station.plays:
        is_first = play.key in new and not play.continued
        new -= {play.key}
        yield (
            station.station,
            *_span(play.begin, play.end, zone),
            *_track(play.track, play.key),
            *map(_seconds, (play.foreground_ms, play.under_speech_ms, play.other_ms)),
            is_first,
            play.continued,
            round(play.score, 3),
        )


def _tracks(station: StationReport, zone: tzinfo | None) -> Iterator[tuple[Value, ...]]:
    for each in station.rotation:
        times = (local_time(ms, zone) if ms else None for ms in (each.first, each.last))
        yield (
            station.station,
            *_track(each.track, each.key),
            each.plays,
            _seconds(each.heard_ms),
            *map(_seconds, (each.foreground_ms, each.under_speech_ms, each.other_ms)),
            *times,
            each.is_new,
        )


def _airtime(
    station: StationReport, parts: Sequence[Airtime], zone: tzinfo | None
) -> Iterator[tuple[Value, ...]]:
    for each in parts:
        seconds = (_seconds(each.sums[state]) for state in STATES)
        span = _span(each.part.start, each.part.end, zone)
        yield station.station, *span, *seconds, each.plays


def _unknown(station: StationReport, zone: tzinfo | None) -> Iterator[tuple[Value, ...]]:
    for each in station.unknown:
        heard = sum(end - start for start, end in each.heard)
        first, last = (local_time(each.heard[at][0], zone) for at in (0, -1))
        yield (
            station.station, each.cluster, each.label, each.guess, len(each.heard),
            _seconds(heard), first, last, each.count,
        )  # fmt: skip


def _outages(station: StationReport, zone: tzinfo | None) -> Iterator[tuple[Value, ...]]:
    for each in station.outages:
        yield station.station, *_span(each.start, each.end, zone), each.reason or "nothing stored"


def _alarms(station: StationReport, zone: tzinfo | None) -> Iterator[tuple[Value, ...]]:
    for each in station.alarms:
        span = _span(each.start, each.end, zone)
        yield station.station, *span, each.rule, each.severity, each.is_open, each.text


def _stations(station: StationReport, zone: tzinfo | None) -> Iterator[tuple[Value, ...]]:
    total = station.total
    length = sum(total.values())
    yield (
        station.station,
        round(station.heard_ms / length, 6) if length else None,
        *(_seconds(total[state]) for state in STATES),
        sum(each.plays for each in station.rotation),
        len(station.rotation),
        sum(each.is_new for each in station.rotation),
        _seconds(station.unnamed_ms),
        None if station.first_ms is None else local_time(station.first_ms, zone),
    )


_Rows: TypeAlias = Callable[["StationReport", "tzinfo | None"], Iterator[tuple[Value, ...]]]

# The columns behind the station's name, and the rows.
_PARTS: dict[Part, tuple[tuple[Column, ...], _Rows]] = {
    Part.playlist: (
        (
            *_SPAN, *_TRACK, *_PARTED,
            *_columns(first_play=_FLAG, continued=_FLAG, score=_NUMBER),
        ),
        _playlist,
    ),
    Part.tracks: (
        (
            *_TRACK, *_columns(plays=_INTEGER, heard_s=_NUMBER), *_PARTED,
            *_columns(first_begin=_TIME, last_begin=_TIME, new=_FLAG),
        ),
        _tracks,
    ),
    Part.hours: (
        (*_SPAN, *_AIRTIME, Column("plays", _INTEGER)),
        lambda station, zone: _airtime(station, station.hours, zone),
    ),
    Part.days: (
        (*_SPAN, *_AIRTIME, Column("plays", _INTEGER)),
        lambda station, zone: _airtime(station, station.days, zone),
    ),
    Part.unknown: (
        _columns(
            cluster=_TEXT, label=_TEXT, guess=_TEXT, occurrences=_INTEGER, heard_s=_NUMBER,
            first_begin=_TIME, last_begin=_TIME, count=_INTEGER,
        ),
        _unknown,
    ),
    Part.outages: ((*_SPAN, Column("reason", _TEXT)), _outages),
    Part.alarms: ((*_SPAN, *_columns(rule=_TEXT, severity=_TEXT, open=_FLAG, text=_TEXT)), _alarms),
    Part.stations: (
        (
            Column("uptime", _NUMBER), *_AIRTIME,
            *_columns(
                plays=_INTEGER, distinct_tracks=_INTEGER, new_tracks=_INTEGER,
                unnamed_music_s=_NUMBER,
                stored_since=_TIME,
            ),
        ),
        _stations,
    ),
}  # fmt: skip
