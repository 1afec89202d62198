"""A message as it is read from a topic, and the value that replaces an unreadable part."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConsumerRecord(Protocol):
    """A message as kafka-python names its parts.

    `timestamp` is Unix time in milliseconds, -1 if there is none.
    """

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Received(NamedTuple):
    """A `ConsumerRecord` from any client library."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def with_offset_of(message: ConsumerRecord, other: ConsumerRecord) -> Received:
    """Return a message as if it were at the offset of another one."""
    return Received(
        other.topic,
        other.partition,
        other.offset,
        message.timestamp,
        message.key,
        message.value,
        message.headers,
    )


class Unreadable(bytes):
    """The value of the message that replaces an unreadable batch or record.

    The client libraries pass values on as they are, so the reader of the partition receives it in
    order, and no producer can forge one.

    Attributes
    ----------
    reason : str
        The fault, in one line.
    last_offset : int
        The last Kafka offset that it replaces.
    is_raw : bool
        Whether these are the bytes of a batch or a record as fetched. If not, they are the
        message's own value, and its key is the message's own too.
    """

    reason: str
    last_offset: int
    is_raw: bool

    @classmethod
    def of(
        cls, raw: bytes | bytearray | memoryview, reason: str, last_offset: int, *, is_raw: bool
    ) -> Unreadable:
        """Return a value with a copy of these bytes."""
        made = cls(raw)
        made.reason, made.last_offset, made.is_raw = reason, last_offset, is_raw
        return made
