"""What is stored of an event: `row_of` and `published`, and which of two rows of one id stays.

A row has columns for what is asked about (time, label, track, score) and JSON for the rest, so
every kind of event has rows, also one that is invented later::

    published(row_of(event)) == event.to_dict()

except for what no database stores: NUL becomes U+FFFD, half of a surrogate pair ``?``.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from stream.lines import iso_time, to_json, utf8

if TYPE_CHECKING:
    from airsift.json_types import Json, JsonObject
    from stream.events import Event

MAX_KEY = 200  # bytes; PostgreSQL's indexes take at most a third of a page of 8 kB

_BASE = ("schema", "id", "station", "start_sample", "end_sample", "start_s", "end_s", "time")
_TRACK_TEXTS = ("track", "title", "artist", "album", "isrc", "record_label")
# What most events of a kind say is not stored.
_USUAL: dict[str, JsonObject] = {
    "decision": {"level_dbfs": None},
    "segment": {"voice": None, "voice_score": None},
    "match": {"track_duration_s": None, "extra": {}, "alternatives": []},
    "level": {"clipped": 0, "silence_s": 0.0, "dead_channels": [], "frozen": False, "title": None},
}


@dataclass(frozen=True, slots=True)
class TrackRow:
    """A recording as an event described it. One that is described anew is another row."""

    track: str
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    isrc: str | None = None
    record_label: str | None = None
    duration_s: float | None = None
    extra: JsonObject | None = None

    @property
    def words(self) -> str:
        """Artist and title, to be searched in."""
        return searchable(f"{self.artist or ''} - {self.title or ''}")

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of the content."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Row:
    """One event.

    Parameters
    ----------
    station, kind : str
        The series it belongs to.
    start, end : int
        Samples at `rate`.
    subject : str
        What else its id is made of: a track or a cluster (`short_key`), "" for most kinds.
    starts_ms, ends_ms : int, optional
        Unix time in milliseconds; None where the source knew no time.
    label, score, final, track
        None where the kind has no such field. What has no `final` is final.
    details : dict
        All other fields, except those with their usual values.
    """

    station: str
    kind: str
    start: int
    subject: str
    end: int
    rate: int
    starts_ms: int | None = None
    ends_ms: int | None = None
    label: str | None = None
    score: float | None = None
    final: bool | None = None
    track: TrackRow | None = None
    details: JsonObject | None = None

    @property
    def key(self) -> tuple[str, str, int, str]:
        """The same for the same event id.

        It tells apart what the id as a text does not: a station may be called "a/segment/1".
        """
        return self.station, self.kind, self.start, self.subject

    def replaces(self, other: Row) -> bool:
        """Whether this row, which was written later, takes the place of one with the same key.

        What is final is not opened again, and what is open does not shrink, so rows may come
        twice, and from two processes in any order.
        """
        if self.final is not False:
            return True
        return other.final is False and self.end >= other.end

    def to_json(self) -> str:
        """Return the row as one line."""
        return to_json(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Row:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError, TypeError, KeyError
            The line is not such a row.
        """
        values = json.loads(line)
        if values["track"] is not None:
            values["track"] = TrackRow(**values["track"])
        return cls(**values)


def latest(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each key, in order of the keys; the rows are given in order of writing."""
    kept: dict[tuple[str, str, int, str], Row] = {}
    for row in rows:
        before = kept.get(row.key)
        if before is None or row.replaces(before):
            kept[row.key] = row
    return [kept[key] for key in sorted(kept)]


def short_key(text: str) -> str:
    """Return a text that fits into an index: itself, or a hash if it is long."""
    data = text.encode()
    if len(data) <= MAX_KEY:
        return text
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def searchable(text: str) -> str:
    """Return a text as songs are searched by it: without case, accents and width."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()


def row_of(event: Event) -> Row:
    """Return what is stored of an event."""
    return row_of_fields(event.to_dict(), event.kind, event.rate)


def row_of_fields(published_fields: JsonObject, kind: str, rate: int) -> Row:
    """Return what is stored of an event that is published with these fields.

    Parameters
    ----------
    published_fields : dict
        What `Event.to_dict` returns: the fields that all events have are there and of their types.
    kind : str
        The event's.
    rate : int > 0
        Samples per second.
    """
    fields = cast("JsonObject", _clean(published_fields))
    base = {name: fields.pop(name) for name in _BASE}
    station = str(base["station"])
    start, end = cast("int", base["start_sample"]), cast("int", base["end_sample"])
    plain = f"{station}/{kind}/{start}"
    subject = short_key(str(base["id"]).removeprefix(plain).removeprefix("/"))
    for name, value in _USUAL.get(kind, {}).items():
        if name in fields and fields[name] == value:
            del fields[name]
    starts_ms = ends_ms = None
    if base["time"] is not None:
        starts_ms = round(datetime.fromisoformat(str(base["time"])).timestamp() * 1000)
        ends_ms = starts_ms + round((end - start) * 1000 / rate)
    label, score, final = fields.get("label"), fields.get("score"), fields.get("final")
    if isinstance(label, str):
        del fields["label"]
    if _is_number(score):
        del fields["score"]
    if isinstance(final, bool):
        del fields["final"]
    row = Row(
        station,
        kind,
        start,
        subject,
        end,
        rate,
        starts_ms,
        ends_ms,
        label if isinstance(label, str) else None,
        float(cast("float", score)) if _is_number(score) else None,
        final if isinstance(final, bool) else None,
        _pop_track(fields),
    )
    head = published(row)
    fields |= {name: base[name] for name in ("schema", "id") if base[name] != head[name]}
    return replace(row, details=fields or None)


def published(row: Row) -> JsonObject:
    """Return the event as it was published."""
    subject = f"/{row.subject}" if row.subject else ""
    fields: JsonObject = {
        "schema": f"airsift.{row.kind}/1",
        "id": f"{row.station}/{row.kind}/{row.start}{subject}",
        "station": row.station,
        "start_sample": row.start,
        "end_sample": row.end,
        "start_s": round(row.start / row.rate, 3),
        "end_s": round(row.end / row.rate, 3),
        "time": None if row.starts_ms is None else iso_time(row.starts_ms / 1000),
    }
    own = {"label": row.label, "score": row.score, "final": row.final}
    fields |= {name: value for name, value in own.items() if value is not None}
    fields |= _USUAL.get(row.kind, {})
    if row.track is not None:
        texts = {name: getattr(row.track, name) for name in _TRACK_TEXTS}
        more = {"track_duration_s": row.track.duration_s, "extra": row.track.extra}
        fields |= {name: value for name, value in (texts | more).items() if value is not None}
    return fields | (row.details or {})


def _pop_track(fields: JsonObject) -> TrackRow | None:
    """Take the fields of a recording out of an event."""
    if not isinstance(fields.get("track"), str):
        return None
    texts = {name: fields.pop(name) for name in _TRACK_TEXTS if isinstance(fields.get(name), str)}
    duration = fields.get("track_duration_s")
    if _is_number(duration):
        del fields["track_duration_s"]
    extra = fields.get("extra")
    if isinstance(extra, Mapping):
        del fields["extra"]
    return TrackRow(
        **cast("dict[str, str]", texts),
        duration_s=float(cast("float", duration)) if _is_number(duration) else None,
        extra=dict(extra) if isinstance(extra, Mapping) else None,
    )


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _clean(value: Json) -> Json:
    """Replace what databases cannot store in a text."""
    if isinstance(value, str):
        return utf8(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, Mapping):
        return {str(_clean(name)): _clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value
