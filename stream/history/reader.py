"""Reading the history: events of a station and a time, and the stations there are.

Each question is a range of an index, one for each series, so that the time it takes depends on the
answer and not on the size of the history.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Column, ColumnElement, Select, bindparam, case, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from airsift.errors import ConfigError, SourceError
from stream.history.address import address_of, open_engine
from stream.history.migrate import check_version
from stream.history.outage import reason_of
from stream.history.rows import Row, TrackRow, searchable, short_key
from stream.history.schema import events, series, tracks

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Connection, Engine
    from sqlalchemy import Row as Record

    from stream.history.settings import DatabaseSettings

MAX_TRACKS = 1000  # that one search for a song may name
_FAR_MS = 2**53  # later than every event
_LONG_MS = 3 * 86_400_000  # from which on rows are fetched a few at a time
_FETCHED = 1000
_MAX_KNOWN = 100_000  # tracks in memory
_TRACK = [tracks.c[name] for name in TrackRow.__slots__]


@dataclass(frozen=True, slots=True)
class Span:
    """What is stored of a station: the kinds of its events, and from when to when."""

    station: str
    kinds: tuple[str, ...]
    first_ms: int | None
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class _Series:
    number: int
    station: str
    kind: str
    reach_ms: int


class History:
    """What is stored, to be read. Used as a context, for one connection.

    Parameters
    ----------
    engine : Engine
        The database.
    name : str
        Its name in messages.

    Raises
    ------
    ConfigError
        The database cannot be reached, or holds no history of this version.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name
        self._tracks: dict[int, TrackRow] = {}
        try:
            with engine.connect() as connection:
                check_version(connection, name)
            self._connection: Connection = engine.connect()
        except SQLAlchemyError as error:
            engine.dispose()
            raise ConfigError(
                f"database.url={name}: cannot be read ({reason_of(error)}); check the address, the "
                "rights and the password; airsift run --sink database writes a history"
            ) from None

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._engine.dispose()

    @contextmanager
    def question(self) -> Iterator[None]:
        """Ask something now, for those who ask again later: the next question sees newer events.

        Raises
        ------
        SourceError
            The database went away.
        """
        try:
            try:
                yield
            finally:
                self._connection.rollback()
        except SQLAlchemyError as error:
            raise SourceError(
                f"database.url={self._name}: cannot be read now ({reason_of(error)})"
            ) from None

    def stations(self) -> list[str]:
        """Return the names of the stations, in order."""
        return sorted({each.station for each in self._series_of(None, None)})

    def spans(self, stations: Collection[str] | None = None) -> list[Span]:
        """Return the stations, or some of them, in order of their names."""
        found: dict[str, list[tuple[str, int | None, int | None]]] = {}
        for each in self._series_of(stations, None):
            begins = select(func.min(events.c.starts_ms)).where(events.c.series_id == each.number)
            last = select(func.max(events.c.starts_ms)).where(events.c.series_id == each.number)
            times = self._connection.scalar(begins), self._connection.scalar(last)
            found.setdefault(each.station, []).append((each.kind, *times))
        return [
            Span(
                station,
                tuple(kind for kind, _, _ in rows),
                min((first for _, first, _ in rows if first is not None), default=None),
                max((last for _, _, last in rows if last is not None), default=None),
            )
            for station, rows in sorted(found.items())
        ]

    def rows(
        self,
        stations: Collection[str] | None = None,
        kinds: Collection[str] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        *,
        label: str | None = None,
        track: str | None = None,
        undated: bool = False,
    ) -> Iterator[Row]:
        """Yield events that have a part in [since_ms, until_ms), in order of their begins.

        Parameters
        ----------
        stations, kinds : collection of str, optional
            Default: all.
        since_ms, until_ms : int, optional
            Unix times in milliseconds; default: no bound.
        label : str, optional
            Only events with this label.
        track : str, optional
            Only events of tracks with this key or ISRC, or with this text in artist and title.
        undated : bool
            Whether events without a time, those of files, come too, before all others.

        Raises
        ------
        ConfigError
            No track, or too many, are meant.
        """
        chosen = {each.number: each for each in self._series_of(stations, kinds)}
        begin = partial(self._range, chosen, since_ms, until_ms, label, undated)
        if track is None:
            parts = [
                begin(events.c.series_id == number, of.reach_ms) for number, of in chosen.items()
            ]
        else:
            reach_ms = max((of.reach_ms for of in chosen.values()), default=0)
            parts = [
                begin(events.c.track_id == number, reach_ms) for number in self._tracks_of(track)
            ]
        return heapq.merge(*parts, key=_begin)

    def labels(self, station: str, since_ms: int, until_ms: int) -> Iterator[tuple[int, int, str]]:
        """Yield begin, end and label of a station's segments with a part in a range, in order.

        It reads the index alone.
        """
        columns = (events.c.starts_ms, events.c.ends_ms, events.c.label)
        for of in self._series_of([station], ["segment"]):
            statement = in_range(of.reach_ms, since_ms, until_ms, columns)
            found = statement.where(events.c.series_id == of.number)
            for starts_ms, ends_ms, label in self._connection.execute(found):
                yield starts_ms, ends_ms, str(label)

    def silences(
        self, station: str, since_ms: int, until_ms: int, below_dbfs: float
    ) -> Iterator[tuple[int, int]]:
        """Yield begin and end of a station's levels in a range that are not above a level."""
        columns = (events.c.starts_ms, events.c.ends_ms)
        level = events.c.details["level_dbfs"].as_float()
        for of in self._series_of([station], ["level"]):
            statement = in_range(of.reach_ms, since_ms, until_ms, columns)
            found = statement.where(events.c.series_id == of.number, level <= below_dbfs)
            yield from ((start, end) for start, end in self._connection.execute(found))

    def has(self, station: str, kind: str, since_ms: int, until_ms: int) -> bool:
        """Whether anything of a kind is stored of a station in a range."""
        return next(self.rows([station], [kind], since_ms, until_ms), None) is not None

    def played_before(self, station: str, keys: Collection[str], before_ms: int) -> set[str]:
        """Return which of some tracks a station played before a moment.

        Parameters
        ----------
        station : str
            The station.
        keys : collection of str
            Keys of tracks.
        before_ms : int
            The moment.
        """
        numbers: dict[str, list[int]] = {}
        asked = sorted(keys)
        for first in range(0, len(asked), _FETCHED):
            some = select(tracks.c.track, tracks.c.id).where(
                tracks.c.track.in_(asked[first : first + _FETCHED])
            )
            for key, number in self._connection.execute(some):
                numbers.setdefault(key, []).append(number)
        earlier = (
            select(events.c.series_id)
            .where(
                events.c.track_id == bindparam("track"),
                events.c.starts_ms < before_ms,
                events.c.series_id == bindparam("series"),
            )
            .limit(1)
        )
        return {
            key
            for of in self._series_of([station], ["match"])
            for key, its in numbers.items()
            if any(
                self._connection.execute(earlier, {"track": number, "series": of.number}).first()
                for number in its
            )
        }

    def at(self, station: str, kind: str, moment_ms: int) -> list[Row]:
        """Return the events of a station and kind that sound at a moment."""
        return list(self.rows([station], [kind], moment_ms, moment_ms + 1))

    def _range(
        self,
        chosen: Mapping[int, _Series],
        since_ms: int | None,
        until_ms: int | None,
        label: str | None,
        undated: bool,
        where: ColumnElement[bool],
        reach_ms: int,
    ) -> Iterator[Row]:
        """Yield the rows of one range of an index that belong to the chosen series."""
        filters = [where] if label is None else [where, events.c.label == label]
        dated = in_range(reach_ms, since_ms, until_ms).where(*filters)
        statements = [dated]
        if undated:
            timeless = select(events).where(events.c.starts_ms.is_(None), *filters)
            statements.insert(0, timeless.order_by(events.c.start_sample))
        # A cursor on the server takes three requests, and no memory.
        is_long = since_ms is None or until_ms is None or until_ms - since_ms > _LONG_MS
        options = {"yield_per": _FETCHED} if is_long else {}
        for statement in statements:
            result = self._connection.execute(statement, execution_options=options)
            for records in result.partitions(_FETCHED):
                known = self._tracks_with({each.track_id for each in records} - {None})
                for record in records:
                    if (its := chosen.get(record.series_id)) is not None:
                        yield _row(record, its, known)

    def _tracks_with(self, numbers: Collection[int]) -> Mapping[int, TrackRow]:
        """Return tracks by their numbers: a song that is played again is read once."""
        if len(self._tracks) > _MAX_KNOWN:
            self._tracks.clear()
        if new := sorted(set(numbers) - self._tracks.keys()):
            statement = select(tracks.c.id, *_TRACK).where(tracks.c.id.in_(new))
            for number, *fields in self._connection.execute(statement):
                self._tracks[number] = TrackRow(*fields)
        return self._tracks

    def _series_of(
        self, stations: Collection[str] | None, kinds: Collection[str] | None
    ) -> list[_Series]:
        statement = select(series.c.id, series.c.station, series.c.kind, series.c.reach_ms)
        if stations is not None:
            statement = statement.where(
                series.c.station_key.in_([short_key(name) for name in stations])
            )
        if kinds is not None:
            statement = statement.where(series.c.kind.in_(kinds))
        found = [_Series(*record) for record in self._connection.execute(statement)]
        return sorted(found, key=lambda each: (each.station, each.kind))

    def _tracks_of(self, text: str) -> list[int]:
        """Return the numbers of the tracks that a text means."""
        words = searchable(text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        statement = select(tracks.c.id).where(
            or_(
                tracks.c.track == text,
                tracks.c.isrc == text,
                tracks.c.words.like(f"%{words}%", escape="\\"),
            )
        )
        found = list(self._connection.scalars(statement.limit(MAX_TRACKS + 1)))
        if len(found) > MAX_TRACKS:
            raise ConfigError(
                f"--track {text}: more than {MAX_TRACKS} tracks have that text; write more of it, "
                "the track's key or its ISRC"
            )
        return found


def in_range(
    reach_ms: int,
    since_ms: int | None,
    until_ms: int | None,
    columns: Sequence[Column[Any]] = tuple(events.c),
) -> Select[Any]:
    """Return the query for dated rows, none longer than `reach_ms`, with a part in a range.

    An event of no length is there where it begins.
    """
    since = 0 if since_ms is None else since_ms
    until = _FAR_MS if until_ms is None else until_ms
    return (
        select(*columns)
        .where(
            events.c.starts_ms >= since - reach_ms,
            events.c.starts_ms < until,
            # Not an OR, of which PostgreSQL would make two ranges and read the rows of both.
            case(
                (events.c.ends_ms > events.c.starts_ms, events.c.ends_ms),
                else_=events.c.starts_ms + 1,
            )
            > since,
        )
        .order_by(events.c.starts_ms)
    )


def open_history(settings: DatabaseSettings) -> History:
    """Open the configured history to read it.

    Raises
    ------
    ConfigError
        It cannot be reached, or holds no history of this version.
    """
    address = address_of(settings.url.get_secret_value(), settings.password_file)
    engine = open_engine(address, connect_timeout_s=settings.connect_timeout_s, read_only=True)
    return History(engine, address.name)


def _begin(row: Row) -> tuple[int, str, int]:
    return -1 if row.starts_ms is None else row.starts_ms, row.station, row.start


def _row(record: Record[Any], of: _Series, known: Mapping[int, TrackRow]) -> Row:
    return Row(
        of.station,
        of.kind,
        record.start_sample,
        record.subject,
        record.end_sample,
        record.rate,
        record.starts_ms,
        record.ends_ms,
        record.label,
        record.score,
        record.final,
        None if record.track_id is None else known[record.track_id],
        record.details,
    )
