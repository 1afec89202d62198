"""The version of a database: made, upgraded, or refused.

The versions are those of `migrations/versions`, by Alembic. Ours are noted in a table of their own,
so that a database may be shared with other programs that use Alembic.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from airsift.errors import ConfigError
from stream.history.schema import VERSIONS, metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LOCK = 0x6169_7273_6966_74  # "airsift": an advisory lock of PostgreSQL


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    return config


def migrate(connection: Connection, name: str) -> None:
    """Bring a database to this program's version, in the transaction that is open.

    Two processes may do so at once: one waits for the other.

    Raises
    ------
    ConfigError
        The database is newer than this program, or of another program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    if _version(connection, name) == _scripts().get_current_head():
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check_version(connection: Connection, name: str) -> None:
    """Refuse a database that this program cannot read, without changing it.

    Raises
    ------
    ConfigError
        It is newer, older or of another program.
    """
    version = _version(connection, name)
    if version is None:
        raise ConfigError(f"{name}: holds no history yet; airsift run --sink database writes one")
    if version != _scripts().get_current_head():
        raise ConfigError(
            f"{name}: its tables are those of an older airsift; start airsift run --sink database "
            "once, which upgrades them"
        )


def _version(connection: Connection, name: str) -> str | None:
    """Return the version of our tables, None where there are none."""
    existing = set(inspect(connection).get_table_names())
    if VERSIONS not in existing:
        foreign = existing & set(metadata.tables)
        if connection.dialect.name == "sqlite":
            foreign = existing  # the file of another program is left alone
        if foreign:
            raise ConfigError(
                f"{name}: is of another program (it has the table {min(foreign)}); name another "
                "database in database.url"
            )
        return None
    context = MigrationContext.configure(connection, opts={"version_table": VERSIONS})
    version = context.get_current_revision()
    known = {script.revision for script in _scripts().walk_revisions()}
    if version is not None and version not in known:
        raise ConfigError(
            f"{name}: its tables are of version {version}, newer than this airsift, which knows "
            f"{max(known)}; install that airsift, or name another database in database.url"
        )
    return version
