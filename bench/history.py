"""Questions to a history of 200 stations, in SQLite and PostgreSQL.

    python -m bench.history --days 36                  # 5.9 million rows
    python -m bench.history --days 365                 # 60 million rows

Aim: the playlist of a day, with its seconds in the foreground and under speech, in less than 100 ms
at 60 million rows. The database is filled by rule, in order of time over all stations, as they
would have written it: a song of 3:27 every 7 minutes, its last 20 s under speech, and speech for
the rest, which is 823 rows a day and station. Each question is asked of stations and days drawn at
random: "warm" is the median of many, "cold" of a few, with the database closed and its files
dropped from the system's cache before each.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from bench.report import Report, arguments
from stream.history.address import Address, address_of, open_engine
from stream.history.plays import plays_of
from stream.history.postgres_server import Postgres, postgres_programs
from stream.history.reader import History, in_range
from stream.history.rows import TrackRow
from stream.history.schema import by_time, by_track, events, series, tracks
from stream.history.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy import Engine

STATIONS = 200
TRACKS = 20_000
CYCLE_S, SONG_S, UNDER_S = 420, 207, 20
BEGIN_S = 1_767_225_600  # 2026-01-01
DAY_S = 86_400
RATE = 16_000
_COMMITTED = 1000  # cycles, of 800 rows each: so the log of SQLite stays short
_DURABLE = ("-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=30min")


# One statement for both databases: some days, in order of time over all stations.
_FILL = """
INSERT INTO airsift_events (series_id, start_sample, subject, end_sample, rate, starts_ms, ends_ms,
                            label, score, final, track_id, details)
WITH RECURSIVE
  cycle(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM cycle WHERE n + 1 < {end}),
  station(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM station WHERE k + 1 < {stations}),
  part(p, begins, ends, label) AS (
    VALUES (0, 0, {song}, NULL), (1, 0, {voice}, 'music'),
           (2, {voice}, {song}, 'speech_over_music'), (3, {song}, {cycle}, 'speech')),
  placed AS (
    SELECT n, k, p, begins, ends, label, {begin} + CAST(n AS BIGINT) * {cycle}
           + k * {cycle} / {stations} AS at
    FROM cycle CROSS JOIN station CROSS JOIN part),
  drawn AS (SELECT *, at * 7919 + k AS x FROM placed),
  named AS (SELECT *, CASE p WHEN 0 THEN x - x / {tracks} * {tracks} + 1 END AS track FROM drawn)
SELECT 2 * k + CASE p WHEN 0 THEN 1 ELSE 2 END, (at + begins) * {rate},
       CASE p WHEN 0 THEN 't' || track ELSE '' END, (at + ends) * {rate}, {rate},
       (at + begins) * 1000, (at + ends) * 1000, label, 0.97, {true}, track,
       CASE p WHEN 0 THEN {details} END
FROM named {order}
"""


def statement(dialect: str, first: int, end: int) -> str:
    """Return what fills the cycles from `first` to before `end`, of all stations."""
    is_sqlite = dialect == "sqlite"
    details = "'{\"track_start_s\": 0.0}'"
    return _FILL.format(
        first=first,
        end=end,
        stations=STATIONS,
        song=SONG_S,
        voice=SONG_S - UNDER_S,
        cycle=CYCLE_S,
        begin=BEGIN_S,
        tracks=TRACKS,
        rate=RATE,
        true="1" if is_sqlite else "true",
        details=details if is_sqlite else f"CAST({details} AS JSON)",
        order="" if is_sqlite else "ORDER BY n, k, p",  # SQLite joins in the order that is written
    )


def fill(engine: Engine, days: int) -> None:
    """Fill a database with everything but rows one by one."""
    Writer(engine, "bench").open()
    with engine.begin() as connection:
        connection.execute(
            series.insert(),
            [
                {
                    "id": 2 * n + offset, "station_key": f"station {n}", "station": f"station {n}",
                    "kind": kind, "reach_ms": 2**19,
                }
                for n in range(STATIONS)
                for offset, kind in ((1, "match"), (2, "segment"))
            ],
        )  # fmt: skip
        descriptions = [TrackRow(f"t{n}", f"Title {n}", f"Artist {n % 997}") for n in range(TRACKS)]
        connection.execute(
            tracks.insert(),
            [
                {
                    "digest": each.digest, "words": each.words, "track": each.track,
                    "title": each.title, "artist": each.artist,
                }
                for each in descriptions
            ],
        )  # fmt: skip
    # Indexes are built at the end, which is much faster.
    with engine.begin() as connection:
        by_time.drop(connection)
        by_track.drop(connection)
        if engine.dialect.name == "postgresql":
            for name in ("series_id_fkey", "track_id_fkey", "pkey"):
                connection.exec_driver_sql(
                    f"ALTER TABLE airsift_events DROP CONSTRAINT airsift_events_{name}"
                )
    cycles = range(0, days * DAY_S // CYCLE_S, _COMMITTED)
    for first in cycles:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":  # else pages go to the disk again and again
                connection.exec_driver_sql("PRAGMA cache_size=-200000")
            end = min(first + _COMMITTED, days * DAY_S // CYCLE_S)
            connection.exec_driver_sql(statement(engine.dialect.name, first, end))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "ALTER TABLE airsift_events ADD PRIMARY KEY (series_id, start_sample, subject)"
            )
        by_time.create(connection)
        by_track.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            raw = connection.connection.dbapi_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.execute(text("VACUUM ANALYZE airsift_events"))
            connection.execute(text("CHECKPOINT"))


def playlist(history: History, station: str, day: int) -> int:
    """Return the number of songs of a day, each divided by its segments."""
    since = (BEGIN_S + day * DAY_S) * 1000
    until = since + DAY_S * 1000
    matches = list(history.rows([station], ["match"], since, until))
    return len(plays_of(matches, history.labels(station, since, until)))


def moment(history: History, station: str, day: int) -> int:
    """Return what sounded at a moment."""
    at = (BEGIN_S + day * DAY_S) * 1000 + 54_240_000
    return len(list(history.rows([station], None, at, at + 1)))


def song(history: History, _: str, day: int) -> int:
    """Return the times that a song was played in a month, on all stations."""
    since = (BEGIN_S + max(day - 30, 0) * DAY_S) * 1000
    track = f"t{day * 31 % TRACKS + 1}"
    return len(list(history.rows(None, ["match"], since, since + 30 * DAY_S * 1000, track=track)))


QUESTIONS: dict[str, Callable[[History, str, int], int]] = {
    "playlist of a day": playlist,
    "what played at a moment": moment,
    "a song in a month, all stations": song,
}


def measure(
    report: Report, name: str, address: Address, folder: Path, options: argparse.Namespace,
    restart: Callable[[], None],
) -> None:  # fmt: skip
    """Ask each question of a filled database, cold and warm."""
    draw = random.Random(1)

    def opened() -> History:
        return History(open_engine(address, connect_timeout_s=5, read_only=True), name)

    def drawn() -> tuple[str, int]:
        return f"station {draw.randrange(STATIONS)}", draw.randrange(options.days)

    for question, ask in QUESTIONS.items():
        cold = []
        for _ in range(options.cold):
            restart()
            drop_cache(folder)
            with opened() as history:
                history.stations()  # the connection and the small tables are there
                began = time.perf_counter()
                ask(history, *drawn())
                cold.append(time.perf_counter() - began)
        with opened() as history:
            warm, cpu, rows = [], [], 0
            for _ in range(options.repeats):
                station, day = drawn()
                began, used = time.perf_counter(), time.process_time()
                rows = ask(history, station, day)
                warm.append(time.perf_counter() - began)
                cpu.append(time.process_time() - used)
        report.row(
            f"{name}: {question}",
            warm_ms=1000 * statistics.median(warm),
            p95_ms=1000 * sorted(warm)[int(0.95 * len(warm))],
            cpu_of_client_ms=1000 * statistics.median(cpu),
            cold_ms=1000 * statistics.median(cold),
            answers=rows,
        )


def plan(engine: Engine) -> str:
    """Return the database's plan for the songs of a day."""
    since = (BEGIN_S + DAY_S) * 1000
    query = in_range(2**19, since, since + DAY_S * 1000).where(events.c.series_id == 7)
    sql = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
    prefix = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN (COSTS OFF)"
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"{prefix} {sql.replace('%', '%%')}").all()
    return "\n".join(f"  {record[-1]}" for record in found)


def drop_cache(folder: Path) -> None:
    """Have the system forget what it has read of the files of a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def size_of(folder: Path) -> int:
    """Return the bytes of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Fill, ask, and print."""
    parser = arguments(__doc__)
    parser.add_argument("--days", type=int, default=36)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--cold", type=int, default=7)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--folder", type=Path, help="a new folder on the disk to measure")
    options = parser.parse_args()
    report, plans = Report("A history of 200 stations"), []
    with ExitStack() as stack:
        root = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root.mkdir(exist_ok=True)
        root.chmod(0o755)
        for name in ["sqlite", "postgresql"]:
            if options.only not in (name, None):
                continue
            folder = root / name
            folder.mkdir()
            if name == "sqlite":

                def restart() -> None:
                    return

                address = address_of(str(folder / "history.db"))
            else:
                programs = postgres_programs()
                if programs is None:
                    print("PostgreSQL is not installed: make postgres")
                    continue
                server = Postgres(programs, folder, *_DURABLE)
                server.start()
                stack.callback(server.stop)
                address = address_of(server.create())

                def restart(server: Postgres = server) -> None:
                    server.stop(at_once=False)
                    server.start()

            engine = open_engine(address, connect_timeout_s=5)
            began = time.perf_counter()
            fill(engine, options.days)
            filled_s = time.perf_counter() - began
            with engine.connect() as connection:
                rows = connection.exec_driver_sql(
                    "SELECT count(*) FROM airsift_events"
                ).scalar_one()
                size = size_of(folder)
                if name == "postgresql":  # without its log
                    size = connection.exec_driver_sql(
                        "SELECT pg_database_size(current_database())"
                    ).scalar_one()
            plans.append(f"{name}\n{plan(engine)}")
            engine.dispose()
            report.row(
                name, rows=rows, filled_s=filled_s, gb=size / 1e9,
                bytes_a_row=size / rows,
            )  # fmt: skip
            measure(report, name, address, folder, options, restart)
    report.finish(options.json)
    print("\nThe songs of a day:\n" + "\n".join(plans))


if __name__ == "__main__":
    main()
