"""Options of the whole suite, and databases for tests of several folders."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import quick

if TYPE_CHECKING:
    from stream.history.postgres_server import Postgres
    from tests.stream.databases import Base

# A test that is slow on a busy machine is not wrong; what hangs is ended by the tests themselves.
settings.register_profile("airsift", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.load_profile("airsift")

# A shell's `&` has Ctrl-C ignored, which what the tests start would inherit: nothing could end it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LONG_S = 1200  # instead of the limit in pyproject.toml
_ON_KAFKA = {"apache_kafka", "apache_cluster", "need_kafka"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/golden/ from the current output, instead of comparing",
    )
    parser.addoption(
        "--broker",
        choices=["embedded", "kafka", "cluster"],
        default="embedded",
        help="what tests run on that need any broker: the embedded one, or Apache Kafka with one "
        "node or three; tests marked kafka always run on Apache Kafka",
    )
    parser.addoption(
        "--require-kafka",
        action="store_true",
        help="fail, instead of skipping, where Apache Kafka cannot be started",
    )


@pytest.fixture(scope="session", autouse=True)
def no_file_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Read no configuration of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a server of PostgreSQL; a test that stops it starts it again."""
    from stream.history.postgres_server import postgres_programs, postgres_server

    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: make postgres")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.process)])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    """Return a new database of each kind."""
    from tests.stream.databases import Base

    if request.param == "sqlite":
        return Base(tmp_path / "history.db")
    server: Postgres = request.getfixturevalue("postgres")
    return Base(server.emptied())


def pytest_configure() -> None:
    quick.watch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from quick.failing_where_unmarked(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    return (yield from quick.failing_where_unmarked(item))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    quick.mark(items, _ON_KAFKA)
    for item in items:
        if _ON_KAFKA & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_LONG_S))
    quick.slowest_first(items)
