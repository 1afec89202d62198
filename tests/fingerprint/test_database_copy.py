from __future__ import annotations

import random
import sqlite3
import threading
from pathlib import Path

import pytest

from fingerprint.index import database_copy


def writer(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA wal_autocheckpoint=3")
    return db


def write(db: sqlite3.Connection, number: int) -> None:
    """Change both tables in one transaction, over many pages."""
    db.execute("BEGIN IMMEDIATE")
    for table in ("one", "two"):
        db.execute(f"INSERT INTO {table} VALUES (?, ?)", (number, "x" * (number * 997 % 9000)))
        db.execute(f"DELETE FROM {table} WHERE id % 7 = ? AND id < ?", (number % 7, number - 50))
    db.execute("COMMIT")


@pytest.mark.slow
def test_a_copy_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    db = writer(path)
    for table in ("one", "two"):
        db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
    stop = threading.Event()

    def keep_writing() -> None:
        number, pauses = 0, random.Random(1)
        while not stop.is_set():
            write(db, number := number + 1)
            if number % 40 == 0:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                stop.wait(pauses.uniform(0, 0.2))

    thread = threading.Thread(target=keep_writing)
    thread.start()
    copies = 0
    try:
        for _ in range(40):
            try:
                copy, _ = database_copy.copied(path)
            except sqlite3.OperationalError as error:
                assert "try again" in str(error)  # noqa: PT017 - both are right
                continue
            copies += 1
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = [copy.execute(f"SELECT id, text FROM {t}").fetchall() for t in ("one", "two")]
            assert rows[0] == rows[1]
            copy.close()
    finally:
        stop.set()
        thread.join(30)
        db.close()
    assert copies
    assert not list(tmp_path.glob("airsift-*"))


def test_a_copy_holds_what_is_in_the_log_alone_and_its_stamp_follows_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "catalogue.db"
    db = writer(path)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("CREATE TABLE one (id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO one VALUES (7)")
    copy, seen = database_copy.copied(path)
    assert copy.execute("SELECT id FROM one").fetchall() == [(7,)]
    assert database_copy.stamp(path) == seen
    db.execute("INSERT INTO one VALUES (8)")
    assert database_copy.stamp(path) != seen
    db.close()
    assert not (tmp_path / "catalogue.db-wal").exists()
    copy, seen = database_copy.copied(path)
    assert copy.execute("SELECT id FROM one").fetchall() == [(7,), (8,)]
    other = tmp_path / "other.db"
    writer(other).close()
    other.replace(path)
    assert database_copy.stamp(path) != seen
