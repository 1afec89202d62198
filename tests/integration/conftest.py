"""One broker for all tests over it; each test has topics and a group of its own.

Tests that do not care run on the broker of ``--broker``. Those that ask for `apache_kafka` or
`apache_cluster` always run on Apache Kafka; they are the tests marked ``kafka``. Where it cannot
be started they are skipped, or fail with ``--require-kafka``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from stream.kafka.apache_broker import ApacheKafka, why_not
from stream.kafka.settings import KafkaSettings
from tests.integration.brokers import Broker, make_broker, settings_of
from tests.integration.source_reader import SourceReader


def _need_kafka(config: pytest.Config) -> None:
    reason = why_not()
    if reason and config.getoption("require_kafka"):
        pytest.fail(f"--require-kafka: {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def broker_kind(pytestconfig: pytest.Config) -> str:
    """Return the kind of broker for tests that do not care."""
    kind: str = pytestconfig.getoption("broker")
    if kind != "embedded":
        _need_kafka(pytestconfig)
    return kind


@pytest.fixture(scope="session")
def need_kafka(pytestconfig: pytest.Config) -> None:
    """Have Apache Kafka at hand, for a test that starts one of its own and stops it."""
    _need_kafka(pytestconfig)


@pytest.fixture(scope="session")
def apache_kafka(pytestconfig: pytest.Config) -> Iterator[ApacheKafka]:
    """Give Apache Kafka, one node that all tests share: it is neither stopped nor frozen."""
    _need_kafka(pytestconfig)
    with ApacheKafka() as broker:
        yield broker


@pytest.fixture(scope="module")
def apache_cluster(pytestconfig: pytest.Config) -> Iterator[ApacheKafka]:
    """Give three nodes that the tests of a module may kill and must restart."""
    _need_kafka(pytestconfig)
    with ApacheKafka(nodes=3) as cluster:
        yield cluster


@pytest.fixture
def apache_settings(apache_kafka: ApacheKafka) -> KafkaSettings:
    return settings_of(apache_kafka)


@pytest.fixture
def cluster_settings(apache_cluster: ApacheKafka) -> KafkaSettings:
    apache_cluster.start()
    return settings_of(apache_cluster)


@pytest.fixture(scope="session")
def shared_broker(request: pytest.FixtureRequest, broker_kind: str) -> Iterator[Broker]:
    if broker_kind == "kafka":
        yield request.getfixturevalue("apache_kafka")
        return
    with make_broker(broker_kind) as broker:
        yield broker


@pytest.fixture
def kafka_settings(shared_broker: Broker) -> KafkaSettings:
    return settings_of(shared_broker)


@pytest.fixture
def new_broker(broker_kind: str) -> Iterator[Callable[..., Broker]]:
    """Give a function that starts a broker for this test alone; see `make_broker`."""
    with ExitStack() as stack:

        def start(*, advertised_port: int | None = None) -> Broker:
            return stack.enter_context(make_broker(broker_kind, advertised_port=advertised_port))

        yield start


@pytest.fixture
def open_reader() -> Iterator[Callable[[KafkaSettings], SourceReader]]:
    opened: list[SourceReader] = []

    def make(settings: KafkaSettings) -> SourceReader:
        opened.append(SourceReader(settings))
        return opened[-1]

    yield make
    for reader in opened:
        reader.close()
