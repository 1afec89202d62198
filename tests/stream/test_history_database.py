from __future__ import annotations

import sqlite3
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from airsift.errors import ConfigError
from stream.events import Match, Segment
from stream.history.address import address_of, open_engine
from stream.history.migrate import migrate
from stream.history.rows import latest, published, row_of
from stream.history.schema import VERSIONS, metadata
from tests.stream.databases import Base
from tests.stream.stored_events import NEW_YEAR, RATE, events, storable

DAY_MS = 86_400_000
NOW_MS = NEW_YEAR * 1000 + 10 * DAY_MS
few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
lists = st.lists(events(st.sampled_from(["a", "b"])), max_size=12)


def segment(station="radio", start_s=0, length_s=60, *, label="music", final=True):
    start = start_s * RATE
    time = NEW_YEAR + start_s
    return Segment(station, start, start + length_s * RATE, RATE, float(time), label, 0.9, final)


def match(track="t1", start_s=0, length_s=60, title="Title", artist="Artist", **more):
    start = start_s * RATE
    end = start + length_s * RATE
    fields = {"final": True, **more}
    return Match(
        "radio", start, end, RATE, float(NEW_YEAR + start_s), track, title, artist, 0, 5.0, **fields
    )


def stored(base: Base) -> list[dict[str, object]]:
    with base.history() as history:
        return [published(row) for row in history.rows(undated=True)]


@pytest.mark.slow
@few
@given(lists, st.integers(1, 5))
def test_what_is_written_is_read_and_writing_it_again_changes_nothing(base, written, size):
    rows = [row_of(event) for event in written]
    with base.emptied() as writer:
        for again in (1, 2):
            for begin in range(0, len(rows), size):
                writer.write(rows[begin : begin + size])
            if again == 1:
                first = stored(base)
    expected = {row.key: published(row) for row in latest(rows)}
    assert sorted(map(repr, first)) == sorted(map(repr, expected.values()))
    assert first == stored(base)


@pytest.mark.slow
@few
@given(
    lists, st.integers(-10, 4 * 86_400), st.integers(1, 2 * 86_400), st.sampled_from(["a", None])
)
def test_a_range_has_what_sounds_in_it(base, written, since_s, length_s, station):
    rows = [row_of(event) for event in written]
    with base.emptied() as writer:
        writer.write(rows)
    since = NEW_YEAR * 1000 + since_s * 1000
    until = since + length_s * 1000
    expected = [
        row
        for row in latest(rows)
        if row.starts_ms is not None
        and row.starts_ms < until
        and (row.ends_ms > since or row.starts_ms == since)
        and station in (None, row.station)
    ]
    with base.history() as history:
        found = list(history.rows(None if station is None else [station], None, since, until))
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    begins = [row.starts_ms for row in found]
    assert begins == sorted(begins)


def test_a_song_that_becomes_final_is_one_row_with_the_end(base):
    with base.writer() as writer:
        for end in (10, 20, 30):
            writer.write([row_of(match(length_s=end, final=False))])
        writer.write([row_of(match(length_s=40))])
        writer.write([row_of(match(length_s=20, final=False))])  # from a process that is late
    assert stored(base) == [match(length_s=40).to_dict()]


def test_a_name_is_a_name(base):
    hostile = "a/b'; DROP TABLE airsift_events; -- 😀 \" \0 " + "x" * 5000
    events = [segment(hostile), match(track=hostile, title=hostile)]
    with base.writer() as writer:
        writer.write([row_of(event) for event in events])
    with base.history() as history:
        name = storable(hostile)
        assert set(history.stations()) == {name, "radio"}
        assert [published(row) for row in history.rows([name])] == [storable(events[0].to_dict())]
        assert [published(row) for row in history.rows(track=name)] == [
            storable(events[1].to_dict())
        ]


def test_a_track_is_found_by_key_isrc_and_words(base):
    songs = [
        match("k/1", 0, title="Überall", artist="Ärzte", isrc="DE1"),
        match("k/2", 100, title="100% %_", artist="Band"),
        match("k/3", 200, title="100 percent", artist="Band"),
    ]
    with base.writer() as writer:
        writer.write([row_of(song) for song in songs])
    with base.history() as history:

        def found(words):
            return [row.track.track for row in history.rows(track=words)]

        assert found("k/1") == found("DE1") == found("ärzte - üb") == found("ARZTE") == ["k/1"]
        assert found("100%") == ["k/2"]
        assert found("BAND") == ["k/2", "k/3"]
        assert found("nobody") == []
        assert [row.start for row in history.rows(track="band", since_ms=NOW_MS)] == []


def test_a_long_event_is_found_at_each_moment(base):
    week = 7 * 86_400
    with base.writer() as writer:
        writer.write([row_of(segment(length_s=week))])
        writer.write([row_of(segment(start_s=week + 5 * n, length_s=5)) for n in range(100)])
    with base.history() as history:
        for second in (0, 1000, week - 1):
            [row] = history.at("radio", "segment", (NEW_YEAR + second) * 1000)
            assert row.start == 0
        [row] = history.at("radio", "segment", (NEW_YEAR + week) * 1000)
        assert row.start == week * RATE


def test_old_events_are_removed_by_kind(base):
    days = [segment(start_s=86_400 * day) for day in range(10)]
    with base.writer() as writer:
        writer.write([row_of(event) for event in [*days, match()]])
        assert writer.newest_ms() == (NEW_YEAR + 9 * 86_400) * 1000
        removed = writer.prune({"segment": 3.0, "gap": 1.0}, NOW_MS)
    assert removed == 7
    kept = stored(base)
    assert [event["start_s"] for event in kept if "label" in event] == [
        86_400.0 * day for day in (7, 8, 9)
    ]
    assert len(kept) == 4


def test_undated_events_are_kept_and_come_on_request(base):
    undated = Segment("file", 0, RATE, RATE, None, "music", 1.0, final=True)
    with base.writer() as writer:
        writer.write([row_of(undated), row_of(segment())])
        assert writer.prune({"segment": 0.001}, NOW_MS) == 1
    with base.history() as history:
        assert list(history.rows()) == []
        assert [published(row) for row in history.rows(undated=True)] == [undated.to_dict()]
        assert history.spans()[0].first_ms is None


def test_writers_that_open_a_new_file_at_once_wait_for_each_other(tmp_path):
    # One of several connections that switch a file to the log fails at once, without a wait.
    errors = []

    def open_it(address, together):
        engine = open_engine(address, connect_timeout_s=5)
        together.wait()
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (x)")
        except OperationalError as error:
            errors.append(error)
        finally:
            engine.dispose()

    for number in range(12):
        address = address_of(str(tmp_path / f"{number}.db"))
        together = threading.Barrier(6)
        threads = [threading.Thread(target=open_it, args=(address, together)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.mark.slow
def test_several_writers_at_once_lose_nothing(base):
    errors = []

    def work(number):
        try:
            with base.writer() as writer:
                for n in range(20):
                    mine = segment(f"s{number}", n * 10, 10)
                    shared = segment("shared", n * 10, 10)
                    writer.write([row_of(mine), row_of(shared), row_of(match("t", n, 1))])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(stored(base)) == 4 * 20 + 20 + 20


def test_the_migrations_make_what_the_schema_says(base):
    engine = open_engine(base.address, connect_timeout_s=2)
    with engine.begin() as connection:
        migrate(connection, "x")
        migrate(connection, "x")
        context = MigrationContext.configure(connection, opts={"version_table": VERSIONS})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_newer_database_is_refused(base):
    engine = open_engine(base.address, connect_timeout_s=2)
    with engine.begin() as connection:
        migrate(connection, "x")
        connection.execute(text(f"UPDATE {VERSIONS} SET version_num = '9999'"))
    engine.dispose()
    with base.writer() as writer, pytest.raises(ConfigError, match="version 9999, newer than"):
        writer.open()
    with pytest.raises(ConfigError, match="newer than"):
        base.history()


def test_the_tables_of_another_program_are_left_alone(base):
    engine = open_engine(base.address, connect_timeout_s=2)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE airsift_events (mine INTEGER)"))
    engine.dispose()
    with base.writer() as writer, pytest.raises(ConfigError, match="of another program"):
        writer.open()


def test_a_file_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "mails.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mails (text)")
    before = path.read_bytes()
    with Base(path).writer() as writer, pytest.raises(ConfigError, match="table mails"):
        writer.open()
    other.close()
    assert len(before) == len(path.read_bytes())


def test_an_empty_database_says_how_it_is_filled(base):
    if base.is_sqlite:
        sqlite3.connect(base.url).close()
        with open(base.url, "ab"):  # noqa: PTH123
            pass
    with pytest.raises(ConfigError, match=r"no history yet|cannot be read"):
        base.history()
