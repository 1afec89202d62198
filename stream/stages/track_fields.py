"""From a matcher's answer to what every event about a track has."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from fingerprint.matching.matcher import TrackMatch


class TrackFields(TypedDict):
    """The fields of `stream.events.TrackEvent`."""

    station: str
    start: int
    end: int
    rate: int
    time: float | None
    track: str
    title: str
    artist: str
    track_start: int
    score: float
    album: str
    isrc: str
    record_label: str


def track_fields(station: str, answer: TrackMatch) -> TrackFields:
    """Return what an answer about a station says of its track; `clock` dates it."""
    return {
        "station": station,
        "start": answer.query_start,
        "end": answer.query_end,
        "rate": answer.rate,
        "time": None,
        "track": answer.track,
        "title": answer.title,
        "artist": answer.artist,
        "track_start": answer.track_start,
        "score": answer.score,
        "album": answer.album,
        "isrc": answer.isrc,
        "record_label": answer.label,
    }
