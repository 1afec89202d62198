"""What stands in for the part of a partition that could not be read."""

from __future__ import annotations


class Unreadable(bytes):
    """The value of the message that stands for a batch or a record that is refused.

    The client libraries hand values on as they are, so it comes to whoever reads the partition in
    its place between the other messages, and no producer can forge one.

    Attributes
    ----------
    reason : str
        What is wrong, in one line.
    last_offset : int
        The last Kafka offset that it stands for.
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
        """Return one that holds a copy of these bytes."""
        made = cls(raw)
        made.reason, made.last_offset, made.is_raw = reason, last_offset, is_raw
        return made
