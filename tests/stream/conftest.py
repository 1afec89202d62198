from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.history.postgres_server import Postgres, postgres_programs, postgres_server
from tests.stream.databases import Base
from tests.stream.doubles import LoudnessClassifier


@pytest.fixture(scope="session")
def classifier() -> LoudnessClassifier:
    return LoudnessClassifier()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: make postgres")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    """Return a new database of each kind."""
    if request.param == "sqlite":
        return Base(tmp_path / "history.db")
    server: Postgres = request.getfixturevalue("postgres")
    return Base(server.emptied())
