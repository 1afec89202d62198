"""A PostgreSQL server for tests and measurements, from the programs that are installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from airsift.errors import ConfigError

PASSWORD = "s3cret-word"  # noqa: S105 - of a server that lives as long as a test
_FAST = ("-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=30")
_START_S = 30.0


def postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest; Debian does not have it in PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    found = shutil.which("initdb")
    return folders[-1].parent if folders else Path(found).parent if found else None


class Postgres:
    """A server in a temporary folder, on loopback, with a password.

    Parameters
    ----------
    programs : Path
        Folder of PostgreSQL's programs.
    folder : Path
        An empty folder.
    settings : str
        Arguments of the server; by default those for tests, which survive no power cut.
    """

    def __init__(self, programs: Path, folder: Path, *settings: str) -> None:
        self._programs = programs
        self._folder = folder
        self._settings = settings or _FAST
        # It refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._emptied = ""
        password = folder / "password"
        password.write_text(PASSWORD)
        self._run(
            "initdb", "--pgdata", folder / "data", "--username", "airsift", "--no-sync",
            "--auth", "scram-sha-256", "--pwfile", password, "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip

    def start(self) -> None:
        """Start it; return when it answers."""
        self._process = subprocess.Popen(  # noqa: S603
            [
                self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}",
                *self._settings,
            ],
            stdout=subprocess.DEVNULL, stderr=(self._folder / "log").open("ab"), user=self._user,
            cwd=self._folder,
        )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ConfigError(f"PostgreSQL does not start: {self._log()}")
            time.sleep(0.05)

    def stop(self, *, at_once: bool = True) -> None:
        """Stop it: at once, as a crash of its machine does, or in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self._process.wait(_START_S)
            self._process = None

    def create(self) -> str:
        """Create a database; return its URL."""
        self._count += 1
        name = f"history{self._count}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def emptied(self) -> str:
        """Return the URL of a database without tables: faster than a new one."""
        if not self._emptied:
            self._emptied = self.create()
        with psycopg.connect(self._emptied, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '20s'")  # someone has left a transaction open
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self._emptied

    def url(self, name: str = "postgres", password: str = PASSWORD) -> str:
        """Return the address of a database of it."""
        return f"postgresql://airsift:{password}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str) -> None:
        """Run a statement."""
        self._run("psql", self.url(), "--quiet", "--command", statement)

    def _answers(self) -> bool:
        done = self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False)
        return done.returncode == 0

    def _run(
        self, program: str, *arguments: object, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [self._programs / program, *map(str, arguments)], check=check, capture_output=True,
            text=True, user=self._user, cwd=self._folder,
        )  # fmt: skip

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


@contextmanager
def postgres_server(programs: Path, *settings: str) -> Iterator[Postgres]:
    """Give a running server; it ends, and is removed, with the block."""
    with tempfile.TemporaryDirectory(prefix="airsift-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(programs, Path(folder), *settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
