"""A partition's file on the disk of Apache Kafka, written to while the broker is stopped.

A broker checks what producers send; what a disk or a program has done to it later, it sends as it
is.
"""

from __future__ import annotations

from pathlib import Path

from stream.kafka.apache_broker import ApacheKafka


def append(broker: ApacheKafka, topic: str, data: bytes, partition: int = 0) -> None:
    """Add batches to the end of a partition. The broker must be stopped."""
    with path_of(broker, topic, partition).open("ab") as file:
        file.write(data)


def path_of(broker: ApacheKafka, topic: str, partition: int = 0) -> Path:
    assert broker._folder is not None
    return max((broker._folder / "0" / f"{topic}-{partition}").glob("*.log"))
