"""The records of one batch, in Kafka's present format (2) and the earlier ones.

A batch is read completely or not at all: the bounds of its records must agree with its header. In
a valid batch, a damaged record does not affect the others.

Format: https://kafka.apache.org/documentation/#messageformat
"""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from stream.kafka.records.compression import decompress
from stream.kafka.records.consumer_record import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SMALLEST = 7  # bytes of a record: length, attributes, time, offset, key, value, headers
_CONTROL = struct.Struct(">hh")
_ABORT = 0


class MalformedError(Exception):
    """Bytes that are not records. One line."""


class Record(NamedTuple):
    """One record, with the attribute names of both client libraries."""

    offset: int
    timestamp: int
    timestamp_type: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    size_in_bytes: int
    checksum: None = None

    def validate_crc(self) -> bool:
        """Return True: the checksum of its batch was verified."""
        return True

    @property
    def abort(self) -> bool:
        """Whether a control record aborts its transaction."""
        return self.key is not None and _CONTROL.unpack_from(self.key)[1] == _ABORT


class Shape(NamedTuple):
    """The description of the records in a batch's header.

    Parameters
    ----------
    base_offset : int
        Kafka offset that the records' offsets are relative to.
    last_delta : int
        Offset of the last record, relative to `base_offset`.
    record_count : int
        Number of records; fewer than offsets in a compacted topic.
    first_ms : int
        Unix time that the records' times are relative to, in milliseconds.
    appended_ms : int, optional
        Unix time of all records, if the broker has set it.
    """

    base_offset: int
    last_delta: int
    record_count: int
    first_ms: int
    appended_ms: int | None


def check_records(body: memoryview, shape: Shape) -> None:
    """Raise MalformedError unless the records fill `body` and agree with the header.

    No record is stored: a small compressed batch may contain millions.
    """
    if not 0 <= shape.record_count <= len(body) // _SMALLEST:
        raise MalformedError(f"its header counts {shape.record_count} records in {len(body)} bytes")
    at, before = 0, -1
    for number in range(shape.record_count):
        length, at = _varint(body, at, len(body))
        end = at + length
        if length < _SMALLEST - 1 or end > len(body):
            raise MalformedError(f"its record {number} has a length of {length} bytes")
        _, after_time = _varint(body, at + 1, end)
        delta, _ = _varint(body, after_time, end)
        if not before < delta <= shape.last_delta:
            raise MalformedError(
                f"its record {number} has offset {delta} of {shape.last_delta}, after {before}"
            )
        at, before = end, delta
    if at != len(body):
        raise MalformedError(
            f"it has {len(body) - at} bytes after its {shape.record_count} records"
        )


def read_records(body: memoryview, shape: Shape) -> Iterator[Record]:
    """Yield the records of a body that `check_records` has accepted."""
    at = 0
    for _ in range(shape.record_count):
        begin = at
        length, at = _varint(body, at, len(body))
        yield _read_record(body[begin : at + length], at - begin, shape)
        at += length


def _read_record(raw: memoryview, at: int, shape: Shape) -> Record:
    """Return the record in `raw`, or an `Unreadable` one if it is damaged."""
    end = len(raw)
    delta_ms, at = _varint(raw, at + 1, end)
    delta, at = _varint(raw, at, end)
    offset = shape.base_offset + delta
    is_appended = shape.appended_ms is not None
    timestamp = shape.appended_ms if shape.appended_ms is not None else shape.first_ms + delta_ms
    try:
        key, at = _nullable(raw, at, end)
        value, at = _nullable(raw, at, end)
        headers, bad_name = _read_headers(raw, at, end)
    except MalformedError as error:
        reason = f"a record cannot be read: {error}"
        whole = Unreadable.of(raw, reason, offset, is_raw=True)
        return Record(offset, timestamp, int(is_appended), None, whole, (), end)
    if bad_name is not None:
        reason = f"header name {bad_name[:50]!r} is not UTF-8; send names as text"
        value = Unreadable.of(value or b"", reason, offset, is_raw=False)
    return Record(offset, timestamp, int(is_appended), key, value, headers, end)


def _read_headers(
    raw: memoryview, at: int, end: int
) -> tuple[list[tuple[str, bytes | None]], bytes | None]:
    """Return a record's headers, and the first name that is not UTF-8."""
    count, at = _varint(raw, at, end)
    if not 0 <= count <= (end - at) // 2:
        raise MalformedError(f"it counts {count} headers in {end - at} bytes")
    headers: list[tuple[str, bytes | None]] = []
    bad: bytes | None = None
    for _ in range(count):
        name, at = _nullable(raw, at, end)
        if name is None:
            raise MalformedError("a header has no name")
        content, at = _nullable(raw, at, end)
        try:
            headers.append((name.decode(), content))
        except UnicodeDecodeError:
            bad = name if bad is None else bad
            headers.append((name.decode(errors="backslashreplace"), content))
    if at != end:
        raise MalformedError(f"{end - at} bytes follow its last header")
    return headers, bad


def _nullable(raw: memoryview, at: int, end: int) -> tuple[bytes | None, int]:
    length, at = _varint(raw, at, end)
    if length < 0:
        return None, at
    if at + length > end:
        raise MalformedError(f"a part of {length} bytes is longer than what is left of it")
    return bytes(raw[at : at + length]), at + length


def _varint(raw: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the signed number of variable length at `at`, and where it ends."""
    bits = shift = 0
    while at < end and shift < 64:
        byte = raw[at]
        at += 1
        bits |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (bits >> 1) ^ -(bits & 1), at
        shift += 7
    raise MalformedError("it ends within a number, or a number is too long")


# Formats 0 and 1 of before Kafka 0.11: one message each, or several compressed as its value.
_LEGACY = struct.Struct(">qiIbb")  # offset, length, checksum, format, attributes
_TIME = struct.Struct(">q")
_LENGTH = struct.Struct(">i")
_OVERHEAD = 12  # bytes before the checksum: offset and length


def read_legacy(frame: memoryview, limit: int) -> list[Record]:
    """Return the messages of a batch in format 0 or 1.

    Parameters
    ----------
    frame : memoryview
        One message with its offset and length; at least 26 bytes.
    limit : int > 0
        Bytes that may come out of a compressed one.

    Raises
    ------
    MalformedError, stream.kafka.records.compression.CodecError
        What is wrong, in one line.
    """
    outer, codec = _read_legacy(frame)
    if not codec:
        return [outer]
    body = memoryview(decompress(codec, memoryview(outer.value or b""), limit))
    records: list[Record] = []
    at = 0
    while at < len(body):
        if len(body) - at < _LEGACY.size:
            raise MalformedError(f"it ends with {len(body) - at} bytes that are no message")
        length = _LENGTH.unpack_from(body, at + 8)[0]
        end = at + _OVERHEAD + length
        if length < _LEGACY.size - _OVERHEAD or end > len(body):
            raise MalformedError(f"a message in it has a length of {length} bytes")
        inner, nested = _read_legacy(body[at:end])
        if nested:
            raise MalformedError("a compressed message in it is compressed again")
        records.append(inner)
        at = end
    if not records:
        raise MalformedError("there is no message in it")
    # Format 1 counts them from the first, and the broker numbers the last; format 0 numbers all.
    shift = outer.offset - records[-1].offset if outer.timestamp_type is not None else 0
    if outer.timestamp_type == 1:
        records = [r._replace(timestamp=outer.timestamp, timestamp_type=1) for r in records]
    records = [r._replace(offset=r.offset + shift) for r in records]
    offsets = [-1, *(r.offset for r in records)]
    if any(b <= a for a, b in pairwise(offsets)):
        raise MalformedError("the offsets in it do not grow")
    if offsets[-1] != outer.offset:
        raise MalformedError(f"the offsets in it end at {offsets[-1]}, not {outer.offset}")
    return records


def _read_legacy(frame: memoryview) -> tuple[Record, int]:
    """Return one message as it is, and its codec."""
    offset, _, checksum, magic, attributes = _LEGACY.unpack_from(frame)
    if zlib.crc32(frame[_OVERHEAD + 4 :]) != checksum:
        raise MalformedError("its checksum is wrong: it was damaged on its way or on a disk")
    at, timestamp, kind = _LEGACY.size, -1, None
    if magic == 1:
        if len(frame) < at + _TIME.size:
            raise MalformedError("it ends too early")
        timestamp = _TIME.unpack_from(frame, at)[0]
        at, kind = at + _TIME.size, int(bool(attributes & 8))
    key, at = _legacy_part(frame, at)
    value, at = _legacy_part(frame, at)
    if at != len(frame):
        raise MalformedError(f"{len(frame) - at} bytes follow its value")
    record = Record(offset, timestamp, kind, key, value, (), len(frame) - _OVERHEAD)
    return record, attributes & 7


def _legacy_part(frame: memoryview, at: int) -> tuple[bytes | None, int]:
    if len(frame) < at + _LENGTH.size:
        raise MalformedError("it ends too early")
    length = _LENGTH.unpack_from(frame, at)[0]
    at += _LENGTH.size
    if length < 0:
        return None, at
    if at + length > len(frame):
        raise MalformedError(f"a part of {length} bytes is longer than what is left of it")
    return bytes(frame[at : at + length]), at + length
