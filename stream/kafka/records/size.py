"""The size of a message in a batch of its own, as a broker counts it."""

from __future__ import annotations

from collections.abc import Sequence

_BATCH = 61  # a batch's own header, in format 2
_LONGEST = 20  # bytes of all numbers that belong to a field or a message
_CHARACTER = 4  # bytes, at most, in UTF-8


def batch_bytes(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> int:
    """Return the bytes of a message alone in its batch, before compression.

    A broker compares a batch, as it was sent, to its limit.
    """
    size = 3 + _field(key) + _field(value) + _varint(len(headers))  # attributes, both deltas
    for name, content in headers:
        size += _field(name.encode()) + _field(content)
    return _BATCH + _varint(size) + size


def max_batch_bytes(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> int:
    """Return at least `batch_bytes`, at a fraction of its time."""
    size = _BATCH + _LONGEST * (len(headers) + 2) + len(key or b"") + len(value or b"")
    for name, content in headers:
        size += _CHARACTER * len(name) + len(content or b"")
    return size


def _field(data: bytes | None) -> int:
    return _varint(-1) if data is None else _varint(len(data)) + len(data)


def _varint(number: int) -> int:
    """Return the bytes of a number in zigzag coding."""
    coded = 2 * number if number >= 0 else -2 * number - 1
    return max(-(-coded.bit_length() // 7), 1)
