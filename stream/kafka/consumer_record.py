"""A message received from Kafka, whichever client library received it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConsumerRecord(Protocol):
    """What kafka-python's `ConsumerRecord` and our `Received` have in common."""

    @property
    def topic(self) -> str:
        """The topic it was read from."""

    @property
    def partition(self) -> int:
        """Partition of the topic."""

    @property
    def offset(self) -> int:
        """Kafka offset within the partition."""

    @property
    def timestamp(self) -> int:
        """Unix time in milliseconds, -1 where there is none."""

    @property
    def key(self) -> bytes | None:
        """The station's name, on the audio topic."""

    @property
    def value(self) -> bytes | None:
        """The payload; an `Unreadable` where the batch is damaged."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Names and values, in order."""
