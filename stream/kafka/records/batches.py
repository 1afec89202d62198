"""The batches in one answer to a fetch, whatever their bytes are.

Both client libraries parse an answer batch by batch, and stop for ever at the first invalid byte.
`RecordBatches` has the methods and attributes that their fetchers use, and never raises: an
unreadable part becomes one message with an `Unreadable` value, and the partition continues behind
it.

The end of the unreadable part is taken from, in this order: the next batch in the same answer; a
header whose checksum is right; a header whose two counts agree. Otherwise the following offsets
are tried one by one, until the broker answers with another batch.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from crc32c import crc32c

from stream.kafka.records.compression import CodecError, decompress
from stream.kafka.records.consumer_record import Unreadable
from stream.kafka.records.records import (
    MalformedError,
    Record,
    Shape,
    check_records,
    read_legacy,
    read_records,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FRAME = struct.Struct(">qiib")  # base offset, length, leader's epoch, format
_OVERHEAD = 12  # bytes that a length does not include: base offset and length
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CHECKED_FROM = 21  # first byte that the checksum covers
_LEGACY_SMALLEST = 26
_SMALLEST_RECORD = 7
_CANDIDATES = 8  # positions that look like the next batch; more are forged

_CODEC, _APPENDED, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_CONTROL_KEY = 4  # bytes of a control record's key with its type


class _Header(NamedTuple):
    """A batch's header in format 2."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_ms: int
    max_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def shape(self) -> Shape:
        appended_ms = self.max_ms if self.attributes & _APPENDED else None
        return Shape(
            self.base_offset, self.last_delta, self.record_count, self.first_ms, appended_ms
        )


class Batch:
    """A batch, with the attribute names of both client libraries."""

    magic = 2

    def __init__(
        self, base_offset: int, next_offset: int, records: Callable[[], Iterator[Record]]
    ) -> None:
        self.base_offset = base_offset
        self.next_offset = next_offset
        self.leader_epoch = self.producer_id = -1
        self.is_transactional = self.is_control_batch = False
        self._records = records
        self._iterator: Iterator[Record] | None = None

    @property
    def last_offset(self) -> int:
        """The last Kafka offset that it covers."""
        return self.next_offset - 1

    def has_producer_id(self) -> bool:
        """Return whether its producer has an id."""
        return self.producer_id >= 0

    def validate_crc(self) -> bool:
        """Return True: checksums are verified here."""
        return True

    def replace(self, records: list[Record]) -> None:
        """Set the records, which were read before."""
        self._records = lambda: iter(records)

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if self._iterator is None:
            self._iterator = self._records()
        return next(self._iterator)


class Passed(NamedTuple):
    """An unreadable batch of unknown end; the offsets behind it are tried one by one.

    Parameters
    ----------
    base : int
        Its base offset.
    first, reached : int
        The offset at which it was reported, and the last that was tried since.
    """

    base: int
    first: int
    reached: int

    def holds(self, offset: int) -> bool:
        """Return whether this offset was reported with it."""
        return self.first < offset <= self.reached


@dataclass(slots=True)
class Doubts:
    """The state of a partition between two fetches.

    Parameters
    ----------
    seen : tuple, optional
        A fault that may be a short answer or a broker that lags. It is fetched again, and counts
        as unreadable only if it is received twice.
    passed : Passed, optional
        The last such batch. It is stored beyond the good batches behind it, because Faust fetches
        the offsets between two messages again.
    refused_since : float, optional
        When the broker first reported that it cannot read the position.
    """

    seen: tuple[object, ...] | None = None
    passed: Passed | None = None
    refused_since: float | None = None


class RecordBatches:
    """The batches of one partition in one answer.

    Parameters
    ----------
    data : bytes
        The answer.
    position : int
        Kafka offset of the fetch.
    highwater : int
        End of the partition by the broker; negative if unknown.
    max_bytes : int > 0
        Limit for a decompressed batch.
    doubts : Doubts
        State of this partition.
    note : callable, optional
        Receives each `Unreadable` with its offset, and no message replaces it. Without a callable,
        a message does.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        position: int,
        highwater: int,
        *,
        max_bytes: int,
        doubts: Doubts,
        note: Callable[[int, Unreadable], None] | None = None,
    ) -> None:
        self._data = memoryview(data)
        self._requested = self._position = position
        self._highwater = highwater
        self._max_bytes = max_bytes
        self._doubts = doubts
        self._note = note
        self._at = 0
        self._seen = doubts.seen  # as it was before this answer
        doubts.seen = None
        self._next: Batch | None = None
        self._is_looked = False

    @classmethod
    def refused_by_broker(
        cls,
        position: int,
        doubts: Doubts,
        note: Callable[[int, Unreadable], None] | None = None,
    ) -> RecordBatches:
        """Return batches that skip an offset which the broker reports as damaged."""
        made = cls(b"", position, -1, max_bytes=1, doubts=doubts, note=note)
        reason = "the broker says that what is here is damaged (CORRUPT_MESSAGE)"
        passed = doubts.passed
        base = passed.base if passed is not None and passed.holds(position) else position
        made._next = made._pass_over(base, 0, reason, position + 1, is_end_known=False)
        made._is_looked = True
        return made

    def has_next(self) -> bool:
        """Return whether there is another batch."""
        if not self._is_looked:
            self._is_looked = True
            self._next = self._read()
        return self._next is not None

    def next_batch(self) -> Batch | None:
        """Return the next batch; None after the last."""
        if not self.has_next():
            return None
        batch, self._next, self._is_looked = self._next, None, False
        return batch

    def _read(self) -> Batch | None:
        while (left := len(self._data) - self._at) > 0:
            if left < _FRAME.size:
                return self._incomplete(left)
            base, length, _, magic = _FRAME.unpack_from(self._data, self._at)
            size = _OVERHEAD + length
            smallest = _LEGACY_SMALLEST if 0 <= magic <= 1 else _HEADER.size
            if size < smallest:
                claimed = self._claimed(self._data[self._at :])
                return self._bad(f"its length is {length} bytes", base, 0, claimed)
            if size > left:
                return self._incomplete(size)
            frame = self._data[self._at : self._at + size]
            if base < self._position and self._at > 0 and not self._is_before(frame, magic):
                return self._bad(f"its offset {base} is not behind the last", base, size)
            if self._is_ahead(base):
                return self._doubt(("ahead", base, size), f"its offset {base} is too high", size)
            batch = self._understand(frame, magic)
            if batch is not None:
                return batch
        if self._data and self._position == self._requested < self._highwater:
            # The whole answer lies before the requested offset.
            return self._doubt(("before", len(self._data)), "the broker sends what lies before", 0)
        return None

    def _understand(self, frame: memoryview, magic: int) -> Batch | None:
        """Return the batch in a complete frame; None if it lies before the position."""
        size = len(frame)
        if magic not in (0, 1, 2):
            base = _FRAME.unpack_from(frame)[0]
            return self._bad(f"its format {magic} is unknown", base, size, self._claimed(frame))
        if self._is_before(frame, magic):
            self._at += size
            return None
        if magic < 2:
            return self._legacy(frame)
        header = _Header(*_HEADER.unpack_from(frame))
        if crc32c(frame[_CHECKED_FROM:]) != header.crc:
            reason = "its checksum is wrong: it was damaged on its way or on a disk"
            return self._bad(reason, header.base_offset, size, self._claimed(frame))
        return self._sound(frame, header)

    def _sound(self, frame: memoryview, header: _Header) -> Batch:
        """Return a batch whose checksum holds."""
        base, next_offset = header.base_offset, self._end(header)
        batch = Batch(base, next_offset, lambda: self._records(frame, header, next_offset))
        batch.leader_epoch = header.leader_epoch
        batch.producer_id = header.producer_id
        batch.is_transactional = bool(header.attributes & _TRANSACTIONAL)
        if header.attributes & _CONTROL:
            # The libraries look at its first record. One that is damaged ends no transaction, and
            # of one that was compacted away nothing is left.
            records = list(islice(self._records(frame, header, next_offset), 1))
            batch.is_control_batch = any(len(r.key or b"") >= _CONTROL_KEY for r in records)
            batch.replace(records)
        self._go_on(self._at + len(frame), next_offset)
        return batch

    def _records(self, frame: memoryview, header: _Header, next_offset: int) -> Iterator[Record]:
        """Yield the records of a batch, or what stands for all of them."""
        try:
            body = memoryview(
                decompress(header.attributes & _CODEC, frame[_HEADER.size :], self._max_bytes)
            )
            check_records(body, header.shape)
        except (CodecError, MalformedError) as error:
            offset = max(header.base_offset, self._requested)
            yield from self._stand_in(offset, frame, str(error), next_offset)
            return
        for record in read_records(body, header.shape):
            if isinstance(record.value, Unreadable) and self._note is not None:
                if record.offset >= self._requested:
                    self._note(record.offset, record.value)
                continue
            yield record

    def _legacy(self, frame: memoryview) -> Batch:
        offset = _FRAME.unpack_from(frame)[0]
        try:
            records = read_legacy(frame, self._max_bytes)
        except (CodecError, MalformedError) as error:
            return self._bad(str(error), offset, len(frame), offset + 1)
        self._go_on(self._at + len(frame), offset + 1)
        return Batch(records[0].offset, offset + 1, lambda: iter(records))

    def _bad(self, reason: str, base: int, size: int, claimed: int | None = None) -> Batch:
        """Step over a batch of `size` bytes; of one of unknown size, over all that came with it.

        `claimed` is where it says to end, where that is to be trusted.
        """
        if not size and claimed is not None:
            size = self._find(claimed)
        following = self._base_after(size) if size else None
        next_offset = following if following is not None else claimed
        if next_offset is None or next_offset <= self._position:
            return self._pass_over(base, size, reason, self._position + 1, is_end_known=False)
        return self._pass_over(base, size, reason, next_offset, is_end_known=True)

    def _pass_over(
        self, base: int, size: int, reason: str, next_offset: int, *, is_end_known: bool
    ) -> Batch:
        """Return what stands for a bad batch, unless it was reported when last tried."""
        raw = self._data[self._at : self._at + size] if size else self._data[self._at :]
        offset = self._position
        if is_end_known and self._position < base < next_offset:
            offset = base
        passed = self._doubts.passed
        if passed is None or passed.base != base or not passed.holds(offset):
            passed = Passed(base, offset, next_offset)
            stand_in = tuple(self._stand_in(offset, raw, reason, next_offset))
        else:
            stand_in = ()
        if not is_end_known:
            self._doubts.passed = passed._replace(reached=max(passed.reached, next_offset))
        self._go_on(self._at + size if size else len(self._data), next_offset)
        return Batch(offset, next_offset, lambda: iter(stand_in))

    def _stand_in(
        self, offset: int, raw: memoryview, reason: str, next_offset: int
    ) -> Iterator[Record]:
        reason = f"a batch of records cannot be read: {reason}"
        value = Unreadable.of(raw, reason, next_offset - 1, is_raw=True)
        if self._note is not None:
            self._note(offset, value)
        else:
            yield Record(offset, -1, 0, None, value, (), len(raw))

    def _incomplete(self, size: int) -> Batch | None:
        """Leave a batch that is cut off to the next fetch, unless it comes cut off again."""
        if self._at:
            return None
        reason = f"it has {size} bytes, and the broker sends {len(self._data)} of them"
        claimed = self._claimed(self._data)
        return self._doubt(("cut off", size, len(self._data)), reason, 0, claimed)

    def _doubt(
        self, what: tuple[object, ...], reason: str, size: int, claimed: int | None = None
    ) -> Batch | None:
        what = (self._position, *what)
        if self._seen != what:
            self._doubts.seen = what
            self._at = len(self._data)
            return None
        at = self._at if self._at < len(self._data) else 0
        base = _FRAME.unpack_from(self._data, at)[0] if len(self._data) - at >= _FRAME.size else -1
        return self._bad(reason, base, size, claimed)

    def _go_on(self, at: int, next_offset: int) -> None:
        self._at = at
        self._position = max(self._position, next_offset)
        self._doubts.refused_since = None

    def _is_before(self, frame: memoryview, magic: int) -> bool:
        """Return whether a whole batch lies before the requested offset."""
        last = _FRAME.unpack_from(frame)[0]
        if magic == 2:
            last += max(_Header(*_HEADER.unpack_from(frame)).last_delta, 0)
        return bool(last < self._requested) and self._position == self._requested

    def _is_ahead(self, base: int) -> bool:
        """Return whether a batch begins behind what the broker calls the end."""
        return self._position < self._highwater < base

    def _base_after(self, size: int) -> int | None:
        """Return the base offset of the batch after the one at hand, if that is one."""
        at = self._at + size
        if len(self._data) - at < _FRAME.size:
            return None
        base, length, _, magic = _FRAME.unpack_from(self._data, at)
        is_one = magic in (0, 1, 2) and length + _OVERHEAD >= _LEGACY_SMALLEST
        is_behind = base > self._position and not self._is_ahead(base)
        return base if is_one and is_behind else None

    def _find(self, base: int) -> int:
        """Return how far behind a batch of unknown length the one that follows it begins; or 0."""
        rest = bytes(self._data[self._at :])
        where = _FRAME.size
        for _ in range(_CANDIDATES):
            where = rest.find(base.to_bytes(8, "big"), where)
            if where < 0:
                break
            if len(rest) - where >= _HEADER.size:
                header = _Header(*_HEADER.unpack_from(rest, where))
                end = where + _OVERHEAD + header.length
                is_whole = header.magic == 2 and where + _HEADER.size <= end <= len(rest)
                if is_whole and crc32c(rest[where + _CHECKED_FROM : end]) == header.crc:
                    return where
            where += 1
        return 0

    def _end(self, header: _Header) -> int:
        """Return where a batch ends whose checksum holds."""
        base, claimed = header.base_offset, header.base_offset + header.last_delta + 1
        following = self._base_after(header.length + _OVERHEAD)
        if following is not None and following > base:
            return min(claimed, following) if claimed > base else following
        counted = base + max(header.record_count, 1)
        if base < claimed <= max(self._highwater, counted):
            return claimed
        # Its header counts offsets that are not there, or there are no records in it.
        return max(self._position, base) + 1

    def _claimed(self, frame: memoryview) -> int | None:
        """Return where a batch ends by a header whose checksum does not hold, if that agrees."""
        if len(frame) < _HEADER.size:
            return None
        header = _Header(*_HEADER.unpack_from(frame))
        base, count = header.base_offset, header.record_count
        agrees = header.last_delta + 1 == count
        if not agrees or not 0 < count <= self._max_bytes // _SMALLEST_RECORD:
            return None
        # The embedded broker says of the end where the last batch begins.
        if self._position < base + count <= self._highwater or self._highwater <= base:
            return base + count
        return None
