"""Questions about what stations played: to the database, or to what is in memory without one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from airsift.json_types import Json, JsonObject
    from airsift.web.hub import Hub
    from airsift.web.tracks import Tracks
    from airsift.web.views import StationView
    from stream.history.plays import Play
    from stream.history.reader import History
    from stream.history.rows import Row
    from stream.history.settings import DatabaseSettings

DAY_MS = 86_400_000
MAX_ROWS = 5000
MAX_SPANS = 100_000  # in a timeline: a week of segments of 6 s
_NAMES = ("match", "share", "repeat", "gap", "alarm", "segment", "label", "level", "decision")


def time_of(text: str, name: str) -> int:
    """Read a time of a query: Unix milliseconds, or ISO 8601 with its zone.

    Raises
    ------
    ValueError
        It is neither.
    """
    if text.lstrip("-").isdecimal() and len(text) < 17:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{name}={text}: must be milliseconds since 1970, or as 2026-11-29T15:04Z")
    return round(moment.astimezone(UTC).timestamp() * 1000)


class Questions:
    """Answers from a database. One question at a time, for any thread; it connects when asked.

    Parameters
    ----------
    settings : DatabaseSettings
        Where the history is.
    tracks : Tracks, optional
        Knows the names of repeats that had none when they were stored.
    """

    def __init__(self, settings: DatabaseSettings, tracks: Tracks | None = None) -> None:
        self._settings, self._tracks = settings, tracks
        self._lock = threading.Lock()
        self._history: History | None = None

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._disconnect()

    def stations(self) -> list[JsonObject]:
        """Return the stations there are, and from when to when."""
        with self._asking() as history:
            return [
                {
                    "name": span.station,
                    "kinds": [*span.kinds],
                    "first_ms": span.first_ms,
                    "last_ms": span.last_ms,
                }
                for span in history.spans()
            ]

    def events(
        self,
        stations: Sequence[str],
        kinds: Sequence[str],
        since_ms: int | None,
        until_ms: int | None,
        *,
        track: str = "",
        label: str = "",
        limit: int = MAX_ROWS,
    ) -> list[JsonObject]:
        """Return the newest events as they were published, songs with their seconds."""
        from stream.history.rows import published

        with self._asking() as history:
            rows = history.rows(
                stations or None,
                kinds or None,
                since_ms,
                until_ms,
                label=label or None,
                track=track or None,
            )
            kept = list(deque(rows, maxlen=limit))
            shares = _shares(history, kept)
        names = self._names(kept)
        return [published(row) | shares.get(row.key, {}) | names.get(row.key, {}) for row in kept]

    def timeline(self, station: str, since_ms: int, until_ms: int) -> JsonObject:
        """Return a station's labels, songs, gaps, repeats and alarms with a part in a range."""
        with self._asking() as history:
            labels = list(islice(history.labels(station, since_ms, until_ms), MAX_SPANS))
            kinds = ("match", "gap", "repeat", "alarm")
            rows = list(islice(history.rows([station], kinds, since_ms, until_ms), MAX_SPANS))
            shares = _shares(history, rows)
        names = self._names(rows)
        spans: dict[str, list[Json]] = {kind: [] for kind in kinds}
        for row in rows:
            if row.kind == "match":
                spans["match"].append(_song(row) | shares.get(row.key, {}))
            else:
                details = (row.details or {}) | names.get(row.key, {})
                words = (details.get(name) for name in ("title", "guess", "text", "rule", "reason"))
                text = next((word for word in words if isinstance(word, str) and word), row.kind)
                spans[row.kind].append([row.starts_ms, row.ends_ms, text])
                if row.kind == "alarm":
                    more = details.get("rule"), details.get("severity"), row.start
                    spans["alarm"][-1] = [row.starts_ms, row.ends_ms, text, *more]
        return {
            "station": station,
            "since_ms": since_ms,
            "until_ms": until_ms,
            "source": "database",
            "labels": [[*label] for label in labels],
            "songs": spans["match"],
            "gaps": spans["gap"],
            "repeats": spans["repeat"],
            "alarms": spans["alarm"],
        }

    def _names(self, rows: Iterable[Row]) -> dict[tuple[str, str, int, str], JsonObject]:
        """Return the titles of repeats that were named after they were stored, by the row's key."""
        clusters = {
            row.key: cluster
            for row in rows
            if row.kind == "repeat"
            and isinstance(cluster := (row.details or {}).get("cluster", row.subject), str)
            and not (row.details or {}).get("title")
        }
        if self._tracks is None or not clusters:
            return {}
        titles = self._tracks.titles(clusters.values())
        return {
            key: {"title": titles[cluster]}
            for key, cluster in clusters.items()
            if cluster in titles
        }

    @contextmanager
    def _asking(self) -> Iterator[History]:
        """Give the history for one question; after an error the next one connects anew."""
        from stream.history.reader import open_history

        with self._lock:
            if self._history is None:
                self._history = open_history(self._settings)
            try:
                with self._history.question():
                    yield self._history
            except ConfigError:  # the question was wrong
                raise
            except BaseException:
                self._disconnect()
                raise

    def _disconnect(self) -> None:
        if self._history is not None:
            history, self._history = self._history, None
            history.__exit__()


def remembered(hub: Hub, station: str, since_ms: int, until_ms: int) -> JsonObject:
    """Return the timeline of a station as far as it is in memory."""
    view = hub.stations.get(station)
    spans = [] if view is None else sorted(view.spans.values(), key=lambda span: span[0])  # type: ignore[arg-type,return-value]
    inside = [span for span in spans if _is_inside(span[0], span[1], since_ms, until_ms)]
    alarms = [] if view is None else list(view.alarms.values())
    return {
        "station": station,
        "since_ms": since_ms,
        "until_ms": until_ms,
        "source": "memory",
        "labels": [span[:3] for span in inside if span[2] != "gap"],
        "songs": [] if view is None else _with_shares(view, since_ms, until_ms),
        "gaps": [[*span[:2], "no audio"] for span in inside if span[2] == "gap"],
        "repeats": [],
        "alarms": [
            [
                *(alarm["start_ms"], alarm["end_ms"], alarm["text"] or alarm["rule"]),
                *(alarm["rule"], alarm["severity"], alarm["start_sample"]),
            ]
            for alarm in alarms
            if _is_inside(alarm["start_ms"], alarm["end_ms"], since_ms, until_ms)
        ],
    }


def _with_shares(view: StationView, since_ms: int, until_ms: int) -> list[Json]:
    """Return songs in a range, with their seconds in the foreground and under speech."""
    from stream.history.plays import plays_of
    from stream.history.rows import Row

    songs = [
        song
        for song in view.songs.values()
        if _is_inside(song["start_ms"], song["end_ms"], since_ms, until_ms)
    ]
    rows = [
        Row(view.name, "match", 0, str(n), 0, 1000, song["start_ms"], song["end_ms"])  # type: ignore[arg-type]
        for n, song in enumerate(songs)
    ]
    labels = sorted((s[0], s[1], s[2]) for s in view.spans.values() if s[2] != "gap")
    found = plays_of(rows, labels)  # type: ignore[arg-type]
    return [song | _seconds(play) for song, play in zip(songs, found, strict=True)]


def _seconds(play: Play) -> JsonObject:
    return {
        "foreground_s": round(play.foreground_s, 1),
        "under_speech_s": round(play.under_speech_s, 1),
        "other_s": round(play.other_s, 1),
    }


def _is_inside(start: Json, end: Json, since_ms: int, until_ms: int) -> bool:
    assert isinstance(start, int)
    assert isinstance(end, int)
    return start < until_ms and max(end, start + 1) > since_ms


def _shares(history: History, rows: Iterable[Row]) -> dict[tuple[str, str, int, str], JsonObject]:
    """Return the seconds of each song in the foreground and under speech, by the row's key."""
    from stream.history.plays import plays

    songs: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind == "match":
            songs.setdefault(row.station, []).append(row)
    return {
        play.row.key: _seconds(play)
        for station, some in songs.items()
        for play in plays(history, station, some)
    }


def _song(row: Row) -> JsonObject:
    track, details = row.track, row.details or {}
    return {
        "start_ms": row.starts_ms,
        "end_ms": row.ends_ms,
        "final": row.final,
        "track": track.track if track else "",
        "title": (track.title if track else "") or "",
        "artist": (track.artist if track else "") or "",
        "album": (track.album if track else "") or "",
        "isrc": (track.isrc if track else "") or "",
        "track_start_s": details.get("track_start_s"),
        "track_duration_s": track.duration_s if track else None,
        "score": row.score,
    }
