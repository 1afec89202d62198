"""Writing rows: one transaction a batch, one row for each event id, and removal after some days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    event,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from stream.history.migrate import migrate
from stream.history.rows import Row, TrackRow, latest, short_key
from stream.history.schema import events, series, tracks

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.sql.dml import Insert

_MAX_KNOWN = 200_000  # series and tracks whose numbers are remembered; all are looked up again then
_PARAMETERS = 500  # of one SELECT; SQLite takes at most 32766
_PRUNED = 5_000  # rows that one transaction removes, so that other writers need not wait for long
_DAY_MS = 86_400_000

T = TypeVar("T")


class Writer:
    """Writes to a database, which it brings to its version first. For one thread.

    Each connection is one to a database that may be another: a copy from before, or a new file. So
    its version is looked at, and the numbers of series and tracks are looked up, anew.

    Parameters
    ----------
    engine : Engine
        The database.
    name : str
        Its name in messages.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._is_open = False
        self._series: dict[tuple[str, str], tuple[int, int]] = {}  # number and reach
        self._tracks: dict[str, int] = {}
        event.listen(engine, "connect", self._forget)

    def open(self) -> None:
        """Connect, and create or upgrade the tables, once.

        Raises
        ------
        ConfigError
            The database is newer than this program, or of another program.
        SQLAlchemyError
            It cannot be reached or written to.
        """
        with self._transaction():
            pass

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows: all, or none. Writing them again changes nothing.

        Parameters
        ----------
        rows : sequence of Row
            In order of writing; of one event id the last stays (`Row.replaces`).
        """
        rows = latest(rows)
        if len(self._series) + len(self._tracks) > _MAX_KNOWN:
            self._series.clear()
            self._tracks.clear()
        with self._transaction() as connection:
            if not rows:
                connection.execute(select(series.c.id).limit(1))  # whether anybody answers
            known = self._number_series(connection, rows)
            track_ids = self._number_tracks(connection, rows)
            if rows:
                values = [_values(row, known[row.station, row.kind][0], track_ids) for row in rows]
                connection.execute(_upsert(self._engine.dialect.name), values)
        self._series |= known  # what was rolled back is not remembered
        self._tracks |= track_ids

    def prune(self, keep_days: Mapping[str, float], now_ms: int) -> int:
        """Remove dated events that ended too long ago; return how many.

        Parameters
        ----------
        keep_days : mapping of str to float > 0
            Days by kind; other kinds stay.
        now_ms : int
            The time now.
        """
        removed = 0
        for kind, days in keep_days.items():
            before = now_ms - round(days * _DAY_MS)
            with self._transaction() as connection:
                numbers = connection.scalars(select(series.c.id).where(series.c.kind == kind)).all()
            for number in numbers:
                while count := self._prune_some(number, before):
                    removed += count
        return removed

    def _prune_some(self, number: int, before: int) -> int:
        key = (events.c.series_id, events.c.start_sample, events.c.subject)
        with self._transaction() as connection:
            old = connection.execute(
                select(*key)
                .where(
                    events.c.series_id == number,
                    events.c.starts_ms < before,
                    events.c.ends_ms < before,
                )
                .order_by(events.c.starts_ms)
                .limit(_PRUNED)
            ).all()
            if old:
                connection.execute(
                    delete(events).where(
                        events.c.series_id == bindparam("number"),
                        events.c.start_sample == bindparam("start"),
                        events.c.subject == bindparam("name"),
                    ),
                    [{"number": a, "start": b, "name": c} for a, b, c in old],
                )
        return len(old)

    def newest_ms(self) -> int | None:
        """Return when the newest dated event began; None where there is none."""
        newest = None
        with self._transaction() as connection:
            for number in connection.scalars(select(series.c.id)).all():
                last = connection.scalar(
                    select(func.max(events.c.starts_ms)).where(events.c.series_id == number)
                )
                newest = max(filter(None, (newest, last)), default=None)
        return newest

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:  # connects, if it has to
            if not self._is_open:
                migrate(connection, self._name)
            yield connection
        self._is_open = True

    def _forget(self, *_: object) -> None:
        """Note that there is a new connection."""
        self._is_open = False
        self._series.clear()
        self._tracks.clear()

    def _number_series(
        self, connection: Connection, rows: Sequence[Row]
    ) -> dict[tuple[str, str], tuple[int, int]]:
        """Return number and reach of each row's series, made or lengthened where necessary."""
        need: dict[tuple[str, str], int] = {}
        for row in rows:
            length = 0 if row.starts_ms is None else (row.ends_ms or 0) - row.starts_ms
            name = row.station, row.kind
            need[name] = max(need.get(name, 0), length)
        found = {name: self._series[name] for name in need if name in self._series}
        if new := sorted(need.keys() - found.keys()):
            keys = {(short_key(station), kind): (station, kind) for station, kind in new}
            connection.execute(
                _insert(self._engine.dialect.name, series).on_conflict_do_nothing(),
                [
                    {"station_key": key, "station": station, "kind": kind, "reach_ms": 0}
                    for (key, kind), (station, _) in keys.items()
                ],
            )
            pair = tuple_(series.c.station_key, series.c.kind)
            for some in _parts(list(keys), _PARAMETERS):
                query = select(
                    series.c.station_key, series.c.kind, series.c.id, series.c.reach_ms
                ).where(pair.in_(some))
                for key, kind, number, reach in connection.execute(query):
                    found[keys[key, kind]] = number, reach
        for each, length in need.items():
            number, reach = found[each]
            if length > reach:
                # Powers of two, so that a growing segment is not one more statement each time.
                found[each] = number, 1 << length.bit_length()
                connection.execute(
                    update(series)
                    .where(series.c.id == number, series.c.reach_ms < found[each][1])
                    .values(reach_ms=found[each][1])
                )
        return found

    def _number_tracks(self, connection: Connection, rows: Sequence[Row]) -> dict[str, int]:
        """Return the number of each row's description of a track, by digest."""
        need = {row.track.digest: row.track for row in rows if row.track is not None}
        found = {digest: self._tracks[digest] for digest in need if digest in self._tracks}
        if new := sorted(need.keys() - found.keys()):
            connection.execute(
                _insert(self._engine.dialect.name, tracks).on_conflict_do_nothing(),
                [{"digest": digest, **_track_values(need[digest])} for digest in new],
            )
            for some in _parts(new, _PARAMETERS):
                query = select(tracks.c.digest, tracks.c.id).where(tracks.c.digest.in_(some))
                found |= {record.digest: record.id for record in connection.execute(query)}
        return found


def _values(row: Row, series_id: int, track_ids: Mapping[str, int]) -> dict[str, Any]:
    return {
        "series_id": series_id,
        "start_sample": row.start,
        "subject": row.subject,
        "end_sample": row.end,
        "rate": row.rate,
        "starts_ms": row.starts_ms,
        "ends_ms": row.ends_ms,
        "label": row.label,
        "score": row.score,
        "final": row.final,
        "track_id": None if row.track is None else track_ids[row.track.digest],
        "details": row.details,
    }


def _track_values(track: TrackRow) -> dict[str, Any]:
    return {name: getattr(track, name) for name in (*TrackRow.__slots__, "words")}


def _insert(dialect: str, table: Any) -> Any:
    """Return an insertion that can handle conflicts; both dialects have one, under one name."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def _upsert(dialect: str) -> Insert:
    """Return the statement that inserts a row, or replaces it as `Row.replaces` says."""
    statement = _insert(dialect, events)
    new = statement.excluded
    key = {column.name for column in events.primary_key}
    is_final = func.coalesce(new.final, True)
    upsert: Insert = statement.on_conflict_do_update(
        index_elements=list(events.primary_key),
        set_={column.name: new[column.name] for column in events.c if column.name not in key},
        where=or_(
            is_final,
            and_(events.c.final.is_(False), new.end_sample >= events.c.end_sample),
        ),
    )
    return upsert


def _parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
