"""One broker for all tests over it; each test has topics and a group of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.settings import KafkaSettings, TopicSettings
from tests.integration.ear import Ear

_numbers = itertools.count()


@pytest.fixture(scope="session")
def shared_broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def kafka_settings(shared_broker: EmbeddedBroker) -> KafkaSettings:
    n = next(_numbers)
    kinds = ("audio", "decisions", "segments", "matches", "gaps", "dead_letters", "state")
    topics = TopicSettings(**{kind: f"test{n}.{kind}" for kind in kinds}, partitions=3)
    return KafkaSettings(
        bootstrap_servers=shared_broker.bootstrap_servers,
        group=f"test{n}",
        # The embedded broker lets a new member wait for half the session timeout.
        session_timeout_s=2.0,
        connect_timeout_s=3.0,
        request_timeout_s=10.0,
        delivery_timeout_s=10.0,
        topics=topics,
    )


@pytest.fixture
def ears() -> Iterator[Callable[[KafkaSettings], Ear]]:
    opened: list[Ear] = []

    def make(settings: KafkaSettings) -> Ear:
        opened.append(Ear(settings))
        return opened[-1]

    yield make
    for ear in opened:
        ear.close()
