"""Where the history is: an address as people write it, and the engine for it.

A path is an SQLite file. Everything else is a URL as SQLAlchemy and PostgreSQL's own programs take
it. What is shown of an address holds no password.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry as _PoolEntry

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_RULE = (
    "must be a file, sqlite:///FILE or postgresql://USER@HOST/DATABASE, the password in "
    "database.password_file or ~/.pgpass"
)
_SQLITE_WAIT_S = 10.0  # for the lock of another writer, before it counts as away
_SWITCH_S = 0.02  # until a connection looks again whether another one has switched to the log
_FILE = "file"  # of what a connection of SQLite remembers
_DEAD_MS = 30_000  # without an answer, after which a connection to PostgreSQL is dead


@dataclass(frozen=True, slots=True)
class Address:
    """A database: its URL, and its name without secrets."""

    url: URL
    name: str

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.url.get_backend_name() == "sqlite"


def address_of(text: str, password_file: str = "") -> Address:
    """Read an address.

    Raises
    ------
    ConfigError
        It is of no known database, or the file of the password cannot be read.
    """
    if not text.strip():
        raise ConfigError(f"database.url is empty: it {_RULE}")
    scheme, separator, rest = text.partition(":")
    if not separator or not (rest.startswith("//") and scheme.replace("+", "").isalnum()):
        return _sqlite(URL.create("sqlite", database=text))
    if scheme != "sqlite" and scheme not in _POSTGRES:
        raise ConfigError(f"database.url: {scheme} is no known kind of database; it {_RULE}")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        url = None
    if url is None or (scheme == "sqlite" and (url.host or not url.database)):
        shown = f"{scheme}:..." if "@" in text else text
        raise ConfigError(f"database.url={shown}: is no address of a database; it {_RULE}")
    if scheme == "sqlite":
        return _sqlite(url)
    url = url.set(drivername="postgresql+psycopg")
    if password_file:
        url = url.set(password=_read(password_file))
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    return Address(url, plain.render_as_string())


def open_engine(address: Address, *, connect_timeout_s: float, read_only: bool = False) -> Engine:
    """Return an engine; nothing is connected yet.

    In SQLite a writer's transactions begin with the lock, so that two writers wait for each other
    instead of failing in the middle. A file that was removed or replaced is opened anew: its
    connection would go on with what has no name any more.
    """
    if address.is_sqlite:
        return _sqlite_engine(address, read_only=read_only)
    # Times out where a host has gone without a word.
    arguments: dict[str, Any] = {
        "connect_timeout": max(round(connect_timeout_s), 2),  # libpq's least
        "tcp_user_timeout": _DEAD_MS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "application_name": "airsift",
    }
    return create_engine(
        address.url,
        pool_size=1,
        max_overflow=0,
        connect_args=arguments,
        hide_parameters=True,
        execution_options={"postgresql_readonly": True} if read_only else {},
    )


def _sqlite(url: URL) -> Address:
    database = str(url.database)
    return Address(URL.create("sqlite", database=database), database)


def _sqlite_engine(address: Address, *, read_only: bool) -> Engine:
    path = Path(str(address.url.database)).absolute()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{path.as_uri()}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=_SQLITE_WAIT_S,
            isolation_level=None,  # BEGIN is sent below
            check_same_thread=False,
        )

    engine = create_engine("sqlite:///", creator=connect, hide_parameters=True, poolclass=QueuePool)
    event.listen(engine, "connect", _prepare(path, read_only=read_only))
    event.listen(engine, "checkout", _refuse_another(path))
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    def send_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "begin", send_begin)
    return engine


def _prepare(path: Path, *, read_only: bool) -> Callable[[DBAPIConnection, _PoolEntry], None]:
    def prepare(connection: DBAPIConnection, entry: _PoolEntry) -> None:
        entry.info[_FILE] = _file_of(path)
        if not read_only:
            # Readers and the writer do not wait for each other; what is committed is on the disk.
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")

    return prepare


def _write_ahead(connection: DBAPIConnection) -> None:
    """Switch a database to a write-ahead log, or wait for another connection that does.

    SQLite's own wait for a lock does not count here: of two connections that switch a new file at
    the same time, one fails at once.
    """
    deadline = time.monotonic() + _SQLITE_WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            locked = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not locked or time.monotonic() > deadline:
                raise
        time.sleep(_SWITCH_S)


def _refuse_another(path: Path) -> Callable[[DBAPIConnection, _PoolEntry, object], None]:
    def refuse(_: DBAPIConnection, entry: _PoolEntry, __: object) -> None:
        if entry.info[_FILE] != _file_of(path):
            raise DisconnectionError(f"{path} is another file than before")  # connects again

    return refuse


def _file_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from others that had its name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _read(password_file: str) -> str:
    try:
        return Path(password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"database.password_file={password_file!r} is not text that can be read; name a file "
            "with the password"
        ) from None
