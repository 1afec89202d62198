"""The brokers that scripts measure on: Apache Kafka with one node or three, or the embedded one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.kafka.apache_broker import ApacheKafka
from stream.kafka.embedded_broker import EmbeddedBroker

if TYPE_CHECKING:
    import argparse

KINDS = ("kafka", "cluster", "embedded")
Broker = ApacheKafka | EmbeddedBroker


def add_broker_option(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--broker",
        choices=KINDS,
        default=default,
        help="Apache Kafka with one node or three (see `make kafka`), or the embedded broker",
    )


def make_broker(kind: str) -> Broker:
    """Return a broker of one of `KINDS`, to be entered."""
    if kind == "embedded":
        return EmbeddedBroker()
    return ApacheKafka(nodes=nodes(kind))


def nodes(kind: str) -> int:
    """Return how many brokers, and so replicas, a kind has."""
    return 3 if kind == "cluster" else 1
