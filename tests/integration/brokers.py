"""The brokers that tests run on: embedded, or Apache Kafka with one node or three."""

from __future__ import annotations

import itertools

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.embedded_broker import EmbeddedBroker
from stream.kafka.settings import KafkaSettings, TopicSettings

KINDS = ("embedded", "kafka", "cluster")
Broker = EmbeddedBroker | ApacheKafka

# The keys of `[kafka.topics]` that name a topic; the first one, audio, is read.
TOPICS = tuple(
    key for key in TopicSettings.model_fields if key not in ("partitions", "replication")
)
_numbers = itertools.count()


def make_broker(kind: str, *, advertised_port: int | None = None) -> Broker:
    """Return a broker of a kind, to be entered; behind a port that is advertised it is one node."""
    if kind == "embedded":
        return EmbeddedBroker(advertised_port=advertised_port)
    nodes = 3 if kind == "cluster" and advertised_port is None else 1
    return ApacheKafka(nodes, advertised_port=advertised_port)


def settings_of(broker: Broker) -> KafkaSettings:
    """Return settings for a broker that others use too: with topics and a group of their own."""
    n = next(_numbers)
    nodes = len(broker.ports) if isinstance(broker, ApacheKafka) else 1
    topics = TopicSettings.default(
        **{kind: f"test{n}.{kind}" for kind in TOPICS}, partitions=3, replication=nodes
    )
    return KafkaSettings.default(
        bootstrap_servers=broker.bootstrap_servers,
        group=f"test{n}",
        # The embedded broker lets a new member wait for half the session timeout.
        session_timeout_s=2.0,
        connect_timeout_s=3.0 if nodes == 1 else 8.0,
        request_timeout_s=10.0,
        delivery_timeout_s=10.0,
        topics=topics,
    )
