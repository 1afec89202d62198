"""Databases for tests: SQLite in a file, and a PostgreSQL server of our own on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream.history.address import Address, address_of, open_engine
from stream.history.reader import History
from stream.history.schema import events
from stream.history.settings import DatabaseSettings, KeepDays
from stream.history.writer import Writer


def database_settings(url: str | Path, folder: Path, **changes: object) -> DatabaseSettings:
    """Return settings for a test: short waits, and a spool of its own."""
    keep_days = KeepDays.default(**changes.pop("keep_days", {}))  # type: ignore[arg-type]
    values = {"url": str(url), "spool_folder": str(folder / "spool"), "connect_timeout_s": 2.0}
    return DatabaseSettings.default(**(values | changes), keep_days=keep_days)


class Base:
    """A database of one test, with a writer and readers."""

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self.address: Address = address_of(self.url)

    @property
    def is_sqlite(self) -> bool:
        return self.address.is_sqlite

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        engine = open_engine(self.address, connect_timeout_s=2)
        try:
            yield Writer(engine, self.address.name)
        finally:
            engine.dispose()

    @contextmanager
    def emptied(self) -> Iterator[Writer]:
        """Give a writer, with no event in the database."""
        engine = open_engine(self.address, connect_timeout_s=2)
        try:
            writer = Writer(engine, self.address.name)
            writer.open()
            with engine.begin() as connection:
                connection.execute(events.delete())
            yield writer
        finally:
            engine.dispose()

    def history(self) -> History:
        engine = open_engine(self.address, connect_timeout_s=2, read_only=True)
        return History(engine, self.address.name)
