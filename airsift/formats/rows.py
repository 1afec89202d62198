"""Rows for machines: the events as JSON lines, and as a table."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from stream.lines import to_cell, to_json, utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airsift.api.results import Segments
    from airsift.json_types import Json, JsonObject

FIELDS = (
    "station",
    "schema",
    "start_s",
    "end_s",
    "label",
    "score",
    "track",
    "title",
    "artist",
    "track_start_s",
    "reason",
    "voice",
    "voice_score",
    "album",
    "isrc",
    "record_label",
    "track_duration_s",
)
_RATE = 16_000  # of sample numbers, where a recording has no events


def jsonl(segments: Segments) -> str:
    """Return a line for each final event: the events of docs/topics.md, as on Kafka's topics."""
    return "".join(f"{to_json(event)}\n" for event in events_of(segments))


def csv_table(segments: Segments) -> str:
    """Return the same as a table with a header."""
    return csv_line(FIELDS) + csv_rows(segments)


def csv_rows(segments: Segments) -> str:
    """Return the lines of the table without its header."""
    return "".join(map(csv_row, events_of(segments)))


def csv_row(event: Mapping[str, Json]) -> str:
    """Return an event as a line of the table."""
    kind = str(event["schema"]).partition(".")[2].partition("/")[0]
    values = {**event, "schema": kind}
    return csv_line([to_cell(values.get(field)) for field in FIELDS])


def csv_line(cells: Iterable[Json]) -> str:
    """Return a line of a CSV table."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def events_of(segments: Segments) -> list[JsonObject]:
    """Return the engine's events of a recording; those of its segments and matches without one."""
    if segments.events:
        return segments.events
    from stream import events

    station, made = utf8(segments.name), list[events.Event]()
    for each in segments:
        made.append(
            events.Segment(
                station,
                round(each.start_s * _RATE),
                round(each.end_s * _RATE),
                _RATE,
                None,
                each.label,  # type: ignore[arg-type]  # that of any network
                each.score,
                final=True,
                voice=each.voice,  # type: ignore[arg-type]
                voice_score=each.voice_score,
            )
        )
    for match in segments.matches:
        duration_s = match.track_duration_s
        made.append(
            events.Match(
                station,
                round(match.start_s * _RATE),
                round(match.end_s * _RATE),
                _RATE,
                None,
                match.track,
                match.title or "",
                match.artist or "",
                round(match.track_start_s * _RATE),
                match.score,
                final=True,
                track_duration=None if duration_s is None else round(duration_s * _RATE),
                album=match.album or "",
                isrc=match.isrc or "",
                record_label=match.record_label or "",
            )
        )
    return [event.to_dict() for event in sorted(made, key=lambda event: event.start)]
