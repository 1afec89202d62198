from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from airsift.errors import Backpressure, ConfigError
from stream.events import Decision, Gap, Segment
from stream.history.address import open_engine
from stream.history.postgres_server import PASSWORD, postgres_programs, postgres_server
from stream.history.reader import open_history
from stream.history.rows import published, row_of
from stream.history.schema import VERSIONS, metadata
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source
from stream.sinks.database import DatabaseSink
from stream.testing import ListSink, ListSource, chunks_of, programme
from tests.stream.databases import database_settings
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.stored_events import NEW_YEAR, RATE
from tests.waiting import wait_until


def segment(second, *, final=True, station="radio"):
    start = second * RATE
    time_s = float(NEW_YEAR + second)
    return Segment(station, start, start + RATE, RATE, time_s, "music", 0.9, final)


def stored(settings):
    with open_history(settings) as history:
        return [published(row) for row in history.rows(undated=True)]


def spooled(settings):
    return sum(path.stat().st_size for path in Path(settings.spool_folder).glob("*.spool"))


@pytest.fixture
def settings(base, tmp_path):
    return database_settings(base.url, tmp_path)


def test_events_are_there_after_a_flush(settings):
    sink = DatabaseSink(settings)
    sink.write([segment(1), segment(2, final=False), Decision("radio", 0, 1, RATE, None, 0.5, 0.5)])
    sink.flush()
    assert stored(settings) == [segment(1).to_dict(), segment(2, final=False).to_dict()]
    sink.write([segment(2)])
    sink.close()
    sink.close()
    assert stored(settings) == [segment(1).to_dict(), segment(2).to_dict()]
    assert spooled(settings) == 0
    assert sink.queued == 0


@pytest.mark.slow
def test_a_run_from_source_to_history(settings, classifier):
    sink, list_sink = DatabaseSink(settings), ListSink()

    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    source = ListSource([[chunk] for chunk in chunks_of(programme(40), RATE)])
    run_source(source, pipeline, [sink, list_sink], checkpoint_s=1e-9, stop=Stop())
    sink.close()
    last = {event.id: event.to_dict() for event in list_sink.events if event.kind == "segment"}
    assert stored(settings) == list(last.values()) != []


def lock(path):
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.fixture
def quick_locks(monkeypatch):
    monkeypatch.setattr("stream.history.address._SQLITE_WAIT_S", 0.1)


@pytest.mark.slow
def test_a_locked_database_stops_nothing_and_nothing_is_lost(tmp_path, quick_locks, caplog):
    settings = database_settings(tmp_path / "h.db", tmp_path, flush_timeout_s=0.3)
    sink = DatabaseSink(settings)
    sink.write([segment(0)])
    sink.flush()
    other = lock(tmp_path / "h.db")
    for second in range(1, 5):
        began = time.monotonic()
        sink.write([segment(second)])
        sink.flush()
        assert time.monotonic() - began < 2
    assert spooled(settings) > 0
    assert len(stored(settings)) == 1  # readers are not held up
    other.execute("ROLLBACK")
    sink.write([segment(5)])
    sink.close()
    assert [event["start_s"] for event in stored(settings)] == [0, 1, 2, 3, 4, 5]
    assert spooled(settings) == 0
    assert caplog.text.count("cannot be written to (database is locked)") == 1


@pytest.mark.slow
def test_a_full_disk_is_waited_for(tmp_path, caplog):
    settings = database_settings(tmp_path / "h.db", tmp_path, flush_timeout_s=0.3)
    sink = DatabaseSink(settings)

    def limit(pages):
        with sink._engine.connect() as connection:  # the one that the thread uses
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    limit(1)  # none is added
    events = [segment(second, station="x" * 500) for second in range(1000)]
    sink.write(events)
    sink.flush()
    assert spooled(settings) > 0
    limit(2**30)
    sink.close()
    assert len(stored(settings)) == 1000
    assert "is full" in caplog.text


def test_while_a_spool_is_written_a_flush_does_not_wait(tmp_path, monkeypatch):
    settings = database_settings(tmp_path / "h.db", tmp_path, flush_timeout_s=60)
    sink = DatabaseSink(settings)
    begun, goes_on = threading.Event(), threading.Event()
    write = sink._writer.write

    def slow(rows):
        begun.set()
        goes_on.wait(30)
        write(rows)

    monkeypatch.setattr(sink._writer, "write", slow)
    with sink._changed:
        sink._spool.append([row_of(segment(1))])
        sink._is_spooled = True
    assert begun.wait(30)
    began = time.monotonic()
    sink.write([segment(2)])
    sink.flush()
    assert time.monotonic() - began < 30
    goes_on.set()
    sink.close()
    assert len(stored(settings)) == 2
    assert spooled(settings) == 0


def test_without_a_spool_a_flush_is_backpressure_until_the_database_is_back(tmp_path, quick_locks):
    settings = database_settings(tmp_path / "h.db", tmp_path, flush_timeout_s=0.3, spool_mb=0)
    sink = DatabaseSink(settings)
    other = lock(tmp_path / "h.db")
    sink.write([segment(1)])
    with pytest.raises(Backpressure, match="spool_mb=0"):
        sink.flush()
    assert "locked" in sink.broker_error
    other.execute("ROLLBACK")
    wait_until(lambda: not sink.broker_error, 10)
    sink.flush()
    assert len(stored(settings)) == 1
    assert not Path(settings.spool_folder).exists()
    sink.close()


def test_a_checkpoint_waits_for_a_full_sink(classifier):

    class Slow(ListSink):
        refused = 3

        def flush(self):
            if self.refused:
                self.refused -= 1
                raise Backpressure("away", retry_after_s=0.0)
            super().flush()

    sink = Slow()

    class Strict(ListSource):
        def checkpoint(self, snapshots):
            assert sink.flushed == len(sink.events)
            super().checkpoint(snapshots)

    source = Strict([[chunk] for chunk in chunks_of(programme(10), RATE)])
    pipeline = Pipeline(FRONT_END, classifier, SMOOTH)
    run_source(source, pipeline, [sink], checkpoint_s=1e-9, stop=Stop())
    assert len(source.checkpoints) == 11


@pytest.mark.process
@pytest.mark.slow
def test_a_server_that_goes_and_comes_back_loses_nothing(tmp_path):
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: make postgres")
    with postgres_server(programs) as server:
        settings = database_settings(server.create(), tmp_path, flush_timeout_s=1.0)
        sink = DatabaseSink(settings)
        for second in range(90):
            if second == 20:
                server.stop()
            if second == 60:
                server.start()
            sink.write([segment(second, final=False), segment(second)])
            if second % 7 == 0:
                sink.flush()
        sink.close()
        assert [event["start_s"] for event in stored(settings)] == list(range(90))
        assert all(event["final"] for event in stored(settings))


@pytest.mark.process
def test_a_server_that_is_away_at_the_start(tmp_path, caplog):
    caplog.set_level("INFO")
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: make postgres")
    with postgres_server(programs) as server:
        url = server.create()
        server.stop()
        settings = database_settings(url, tmp_path)
        with pytest.raises(ConfigError, match="cannot be opened"):
            DatabaseSink(database_settings(url, tmp_path, spool_mb=0))
        sink = DatabaseSink(settings)
        sink.write([segment(1)])
        sink.flush()
        assert spooled(settings) > 0
        server.start()
        wait_until(lambda: not spooled(settings), 30)
        assert len(stored(settings)) == 1
        sink.close()
    assert "cannot be written to" in caplog.text
    assert "can be written to again" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.process
@pytest.mark.parametrize("change", ["password", "database", "user", "host"])
def test_a_refused_login_is_an_error_at_once_without_the_password(postgres, tmp_path, change):
    url = postgres.emptied()
    url = {
        "password": url.replace(PASSWORD, "wrong-word"),
        "database": url + "x",
        "user": url.replace("airsift:", "nobody:"),
        "host": url.replace("127.0.0.1", "no-such-host.invalid"),
    }[change]
    with pytest.raises(ConfigError, match=r"database.url=postgresql://.*cannot be opened") as error:
        DatabaseSink(database_settings(url, tmp_path))
    assert PASSWORD not in str(error.value)
    assert "wrong-word" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.process
def test_the_password_may_be_in_a_file(postgres, tmp_path):
    url = postgres.emptied().replace(f":{PASSWORD}", "")
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    settings = database_settings(url, tmp_path, password_file=str(secret))
    sink = DatabaseSink(settings)
    sink.write([segment(1)])
    sink.close()
    assert len(stored(settings)) == 1
    with pytest.raises(ConfigError, match="password_file"):
        DatabaseSink(database_settings(url, tmp_path, password_file=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://me:s3cret@host/db", "mysql is no known kind"),
        ("sqlite://", "no address"),
        ("sqlite:///", "no address"),
        ("postgresql://me:s3cret@host:port/db", "no address"),
        ("", "is empty"),
        ("/dev/null/h.db", "unable to open database file"),
        ("/proc/h.db", "unable to open database file"),
        (".", "unable to open database file"),
    ],
)
def test_an_address_that_cannot_be_is_refused_in_one_line(tmp_path, url, why):
    with pytest.raises(ConfigError, match=why) as error:
        DatabaseSink(database_settings(url, tmp_path))
    assert "s3cret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("mine, and long enough to be looked at by SQLite" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        DatabaseSink(database_settings(path, tmp_path))
    assert path.read_text().startswith("mine")


@pytest.mark.process
def test_what_a_killed_process_has_flushed_is_written_by_the_next(tmp_path):
    settings = database_settings(tmp_path / "h.db", tmp_path)
    first = DatabaseSink(settings)
    first.close()
    other = lock(tmp_path / "h.db")
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from stream.events import Gap\n"
        "from stream.sinks.database import DatabaseSink\n"
        "from tests.stream.databases import database_settings\n"
        "import stream.history.address as address\n"
        "address._SQLITE_WAIT_S = 0.1\n"
        "folder = Path(sys.argv[1])\n"
        "sink = DatabaseSink(database_settings(folder / 'h.db', folder, flush_timeout_s=0.2))\n"
        "for n in range(5):\n"
        "    sink.write([Gap('a', n, n + 1, 16_000, None, 'x')])\n"
        "    sink.flush()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], cwd=root, check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    assert spooled(settings) > 0
    other.execute("ROLLBACK")
    DatabaseSink(settings).close()
    assert [event["start_sample"] for event in stored(settings)] == list(range(5))
    assert spooled(settings) == 0


def put_another(base):
    """Put a database in the place of one that is in use: a copy from before, with other numbers."""
    if base.is_sqlite:
        for path in Path(base.url).parent.glob(f"{Path(base.url).name}*"):
            path.unlink()
    else:
        engine = open_engine(base.address, connect_timeout_s=2)
        with engine.begin() as connection:
            for table in (*metadata.tables, VERSIONS):
                connection.execute(text(f"DROP TABLE {table} CASCADE"))
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid != pg_backend_pid()"
                )
            )
        engine.dispose()
    with base.writer() as writer:
        writer.write([row_of(segment(5, station=name)) for name in ("other", "more", "radio")])


def test_a_database_that_is_replaced_gets_what_comes_then(base, settings):
    sink = DatabaseSink(settings)
    sink.write([segment(1), segment(1, station="talk")])
    sink.flush()
    for again in range(2):
        put_another(base)
        sink.write([segment(10 + again), segment(10 + again, station="talk")])
        sink.flush()
        wait_until(lambda: not spooled(settings), 30)
    sink.close()
    found = sorted((each["station"], each["start_sample"] // RATE) for each in stored(settings))
    assert found == [("more", 5), ("other", 5), ("radio", 5), ("radio", 11), ("talk", 11)]


@pytest.mark.parametrize(
    "move",
    [
        lambda folder: [path.unlink() for path in folder.glob("h.db*")],
        lambda folder: (folder / "h.db").rename(folder / "old.db"),
        lambda folder: folder.rename(folder.with_name("moved")),
        lambda folder: (folder.rename(folder.with_name("moved")), folder.mkdir()),
    ],
)
def test_a_file_that_is_moved_away_takes_nothing_with_it(tmp_path, move):
    folder = tmp_path / "data"
    folder.mkdir()
    settings = database_settings(folder / "h.db", tmp_path)
    sink = DatabaseSink(settings)
    sink.write([segment(1)])
    sink.flush()
    move(folder)
    sink.write([segment(2)])
    sink.flush()
    folder.mkdir(exist_ok=True)  # a disk that is there again
    wait_until(lambda: not spooled(settings), 30)
    sink.write([segment(3)])
    sink.close()
    found = [each["start_sample"] // RATE for each in stored(settings)]
    assert found == [2, 3]


def test_one_row_that_is_refused_costs_only_itself(settings, caplog):
    sink = DatabaseSink(settings)
    bad = Gap("radio", 2**70, 2**70 + 1, RATE, None, "no integer of a database is so large")
    sink.write([segment(1), bad, segment(2)])
    sink.close()
    assert [event["start_s"] for event in stored(settings)] == [1, 2]
    assert sink.refused == {"database": 1}
    assert "not stored" in caplog.text


@pytest.mark.slow
def test_several_sinks_at_once(settings):
    def work(number):
        sink = DatabaseSink(settings)
        for second in range(30):
            sink.write([segment(second, station=f"s{number}"), segment(second)])
            sink.flush()
        sink.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(settings)) == 4 * 30


def test_old_events_are_removed_unless_the_clock_was_set(tmp_path, monkeypatch, caplog):
    settings = database_settings(tmp_path / "h.db", tmp_path, keep_days={"segment": 1})
    sink = DatabaseSink(settings)
    days = [segment(86_400 * day) for day in range(4)]
    sink.write(days)
    sink.flush()
    # The clock is years ahead of the newest event: that counts.
    sink._prune()
    assert [event["start_s"] for event in stored(settings)] == [86_400.0 * 2, 86_400.0 * 3]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1e6)
    sink.write(days)
    sink.flush()
    sink._prune()
    assert len(stored(settings)) == 4
    assert "the clock was set" in caplog.text
    monkeypatch.undo()
    sink.close()


def test_a_database_is_private_to_nobody_but_its_folder(tmp_path):
    """A history is made with the rights that the user's mask gives, as other files."""
    before = os.umask(0o027)
    try:
        DatabaseSink(database_settings(tmp_path / "h.db", tmp_path)).close()
    finally:
        os.umask(before)
    assert (tmp_path / "h.db").stat().st_mode & 0o777 == 0o640
