"""Possible contents of a fetch response, read by the parsers of both client libraries.

The law: whatever bytes a broker sends, each sound record comes once and in order, each part that
cannot be read comes as one `Unreadable` in its place, and the position ends at the partition's
end.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import aiokafka.consumer.fetcher as aio
import kafka.consumer.fetcher as python
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from stream.kafka.records.batches import Doubts, RecordBatches
from stream.kafka.records.consumer_record import Unreadable
from stream.kafka.records.partitions import Partitions
from tests.stream.batches import (
    BAD,
    BAD_RECORDS,
    CODECS,
    batch,
    control,
    good,
    legacy,
    record,
)

TP = TopicPartition("audio", 0)
MAX_BYTES = 1_000_000


def by_kafka_python(batches, position, aborted, isolation):
    part = python.Fetcher.PartitionRecords(
        position,
        TP,
        SimpleNamespace(next_batch=lambda: None),
        isolation_level=isolation,
        aborted_transactions=[SimpleNamespace(producer_id=p, first_offset=at) for p, at in aborted],
    )
    part.record_iterator = itertools.dropwhile(
        part._maybe_skip_record, part._unpack_records(TP, batches, None, None)
    )
    records = part.take()
    return records, part.next_fetch_offset


def by_aiokafka(batches, position, aborted, isolation):
    part = aio.PartitionRecords(TP, batches, aborted, position, None, None, False, isolation)
    return list(part), part.next_fetch_offset


LIBRARIES = {"kafka-python": by_kafka_python, "aiokafka": by_aiokafka}


@pytest.fixture(params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param]


class Log:
    """A partition, as a broker has it: it knows where each of its batches begins and ends."""

    def __init__(self, *parts, end=None, knows_end=True, answer_bytes=10**9):
        self.parts = parts  # (first offset, bytes)
        self.end = end
        self.knows_end = knows_end
        self.answer_bytes = answer_bytes
        self.fetches = Counter()

    def fetch(self, position):
        """As brokers do: from the batch that holds the offset, one whole batch at least."""
        self.fetches[position] += 1
        ends = [*(first for first, _ in self.parts[1:]), self.end]
        data = b""
        for (_, part), end in zip(self.parts, ends, strict=True):
            if end > position and (not data or len(data) + len(part) <= self.answer_bytes):
                data += part
        return data, self.end if self.knows_end else self.parts[-1][0]


def consume(log, library, *, position=0, aborted=(), isolation=0, note=None):
    """Read a partition to its end."""
    doubts = Doubts()
    records = []
    stood = 0
    while position < log.end:
        data, highwater = log.fetch(position)
        batches = RecordBatches(
            data, position, highwater, max_bytes=MAX_BYTES, doubts=doubts, note=note
        )
        new, following = library(batches, position, list(aborted), isolation)
        records += new
        stood = stood + 1 if following == position else 0
        assert stood < 3, "it does not get on"
        assert following >= position
        position = following
    assert position == log.end
    return records


def values(records):
    return [bytes(r.value) if not isinstance(r.value, Unreadable) else None for r in records]


def layouts(bad):
    """A bad batch of the offsets 2 to 4 between good ones, last, and alone, in all manners."""
    before, after = (0, good(0, 2)), (5, good(5, 2))
    for knows_end in (True, False):
        for size in (10**9, 1):
            how = {"knows_end": knows_end, "answer_bytes": size}
            yield Log(before, (2, bad), after, end=7, **how)
            yield Log(before, (2, bad), (5, bad_at(bad, 5)), (8, good(8)), end=9, **how)
    yield Log(before, (2, bad), end=5)


def bad_at(bad, base):
    return base.to_bytes(8, "big") + bad[8:]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_batch_is_one_dead_letter_and_what_is_around_it_is_read(library, kind):
    for log in layouts(BAD[kind](2)):
        records = consume(log, library)
        refused = [r for r in records if isinstance(r.value, Unreadable)]
        n_bad = len(log.parts) - (2 if log.parts[-1][1] != BAD[kind](2) else 1)
        assert [r.offset for r in refused] == [2, 5][:n_bad], (kind, vars(log))
        for r in refused:
            assert r.value.reason.count("\n") == 0
            assert r.value.is_raw
            assert len(r.value)
            assert r.value.last_offset in (r.offset, r.offset + 2)
        sound = [r.offset for r in records if r not in refused]
        ends = [*(first for first, _ in log.parts[1:]), log.end]
        assert sound == [
            offset
            for (first, data), end in zip(log.parts, ends, strict=True)
            if data == good(first, end - first)
            for offset in range(first, end)
        ]


@pytest.mark.parametrize("length", [2**31 - 1, 10_000, 48, 0, -1, -12, -(2**31)])
def test_a_length_that_is_wrong_costs_only_its_batch(library, length):
    bad = good(2, 3, length=length)
    for log in (
        Log((0, good(0, 2)), (2, bad), (5, good(5, 2)), end=7),
        Log((2, bad), (5, good(5, 2)), end=7, answer_bytes=1),
        Log((2, bad), end=5),
    ):
        records = consume(log, library, position=log.parts[0][0])
        assert [r.offset for r in records if isinstance(r.value, Unreadable)] == [2]
        sound = [r.offset for r in records if not isinstance(r.value, Unreadable)]
        assert sound == [o for o in (0, 1, 5, 6) if log.parts[0][0] <= o < log.end]


def test_what_came_with_a_batch_of_unknown_length_is_found(library):
    """A broker may be unable to send it again, since it uses the same lengths."""
    for length in (3, -1, 10**9):
        doubts = Doubts()
        bad = good(0, 3, length=length, body=good(0, 3)[61:] + (3).to_bytes(8, "big") * 3)
        data, records, position = bad + good(3, 2) + good(5), [], 0
        for _ in range(2):  # too long may be cut off: it is requested again
            batches = RecordBatches(data, position, 6, max_bytes=MAX_BYTES, doubts=doubts)
            new, position = library(batches, position, [], 0)
            records += new
            data = data if position == 0 else b""
        assert (values(records), position) == ([None, b"3", b"4", b"5"], 6)
        assert records[0].value.last_offset == 2


def test_what_was_passed_over_is_not_reported_again_when_it_is_read_again(library):
    doubts = Doubts()
    bad = good(0, 3, crc=1, last_delta=7)  # its header cannot be believed
    records, position = [], 0
    for _ in range(3):
        batches = RecordBatches(bad, position, 3, max_bytes=MAX_BYTES, doubts=doubts)
        new, position = library(batches, position, [], 0)
        records += new
    assert (values(records), position) == ([None], 3)
    batches = RecordBatches(good(3), 3, 4, max_bytes=MAX_BYTES, doubts=doubts)
    assert values(library(batches, 3, [], 0)[0]) == [b"3"]
    batches = RecordBatches(bad + good(3), 1, 4, max_bytes=MAX_BYTES, doubts=doubts)
    assert values(library(batches, 1, [], 0)[0]) == [b"3"]
    batches = RecordBatches(bad + good(3), 0, 4, max_bytes=MAX_BYTES, doubts=doubts)
    assert values(library(batches, 0, [], 0)[0]) == [None, b"3"]


def test_a_truncated_batch_is_fetched_again(library):
    whole, doubts = good(3, 2), Doubts()
    batches = RecordBatches(whole[:-5], 3, 5, max_bytes=MAX_BYTES, doubts=doubts)
    assert library(batches, 3, [], 0) == ([], 3)
    batches = RecordBatches(whole, 3, 5, max_bytes=MAX_BYTES, doubts=doubts)
    records, position = library(batches, 3, [], 0)
    assert (values(records), position) == ([b"3", b"4"], 5)


@pytest.mark.parametrize("base", [0, 1, 3, 10**12])
def test_a_batch_in_the_wrong_place_moves_nothing_back_and_nothing_far_ahead(library, base):
    log = Log((0, good(0, 2)), (2, good(base, 3)), (5, good(5, 2)), end=7)
    records = consume(log, library)
    assert [r.offset for r in records if not isinstance(r.value, Unreadable)][:2] == [0, 1]
    assert [r.offset for r in records if not isinstance(r.value, Unreadable)][-2:] == [5, 6]
    assert all(r.offset < 7 for r in records)


@pytest.mark.parametrize("last_delta", [-1, -(2**31), 2**31 - 1, 100, 1])
def test_offsets_that_a_header_makes_up_are_not_believed(library, last_delta):
    bad = good(2, 3, last_delta=last_delta, attributes=7)
    for log in layouts(bad):
        records = consume(log, library)
        assert next(r.offset for r in records if isinstance(r.value, Unreadable)) == 2
        assert [r.offset for r in records][:2] == [0, 1]
        if log.parts[-1][1] != bad:
            assert values(records)[-1] is not None


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_a_bad_record_costs_no_other_of_its_batch(library, codec, kind):
    bad = batch(2, [record(0), BAD_RECORDS[kind], record(2)], codec=codec)
    log = Log((0, good(0, 2)), (2, bad), (5, good(5)), end=6)
    records = consume(log, library)
    assert [r.offset for r in records] == list(range(6))
    [refused] = [r for r in records if isinstance(r.value, Unreadable)]
    assert (refused.offset, refused.value.last_offset) == (3, 3)


def test_of_a_header_name_that_is_no_text_all_else_is_there(library):
    bad = record(0, b"station", b"audio", [(b"rate", b"16000"), (b"\xff", None)])
    [message] = consume(Log((0, batch(0, [bad])), end=1), library)
    assert (message.key, bytes(message.value)) == (b"station", b"audio")
    assert not message.value.is_raw
    assert list(message.headers) == [("rate", b"16000"), ("\\xff", None)]
    assert message.value.reason.startswith(r"header name b'\xff' is not UTF-8")


@pytest.mark.parametrize("codec", CODECS)
def test_all_codecs_are_read(library, codec):
    log = Log((0, good(0, 500, codec=codec)), (500, good(500, codec=codec)), end=501)
    assert values(consume(log, library)) == [str(n).encode() for n in range(501)]
    # A restart may begin in the middle of a batch.
    log = Log((0, good(0, 500, codec=codec)), (500, good(500, codec=codec)), end=501)
    assert values(consume(log, library, position=321))[0] == b"321"


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "snappy as Java has it"])
def test_the_formats_of_before_are_read(library, magic, codec):
    number, compress = CODECS[codec]
    inner = b"".join(
        legacy(n if magic else n + 2, value=str(n).encode(), magic=magic) for n in range(3)
    )
    parts = [(0, good(0, 2)), (2, legacy(4, None, compress(inner), magic=magic, attributes=number))]
    if codec == "none":
        parts = [(0, good(0, 2))]
        parts += [(n + 2, legacy(n + 2, value=str(n).encode(), magic=magic)) for n in range(3)]
    records = consume(Log(*parts, (5, good(5)), end=6), library)
    assert values(records) == [b"0", b"1", b"0", b"1", b"2", b"5"]
    assert [r.offset for r in records] == list(range(6))
    assert records[2].timestamp == (1_700_000_000_000 if magic else -1)


@pytest.mark.parametrize(
    "bad",
    [
        legacy(2, attributes=1),
        legacy(2, attributes=7),
        legacy(2)[:-1] + b"?",
        legacy(2, None, None, attributes=1),
        legacy(2, None, CODECS["gzip"][1](legacy(0, attributes=1)), attributes=1),
        legacy(2, None, CODECS["gzip"][1](b"no message at all, but bytes"), attributes=1),
        legacy(2, None, CODECS["gzip"][1](b""), attributes=1),
    ],
)
def test_a_bad_message_of_before_is_one_dead_letter(library, bad):
    records = consume(Log((0, good(0, 2)), (2, bad), (3, good(3)), end=4), library)
    assert values(records) == [b"0", b"1", None, b"3"]


def test_transactions_that_were_undone_are_skipped_and_so_is_what_is_bad_in_them(library):
    undone = batch(0, [record(0)], attributes=0x10, producer=7)
    bad = batch(1, [record(0)], attributes=0x17, producer=7)
    intact = batch(3, [record(0, value=b"3")], attributes=0x10, producer=7)
    empty = batch(5, [], attributes=0x30, producer=7, last_delta=0)  # compacted away
    odd = batch(6, [record(0, b"")], attributes=0x30, producer=7)
    log = Log(
        (0, undone),
        (1, bad),
        (2, control(2, 7, is_commit=False)),
        (3, intact),
        (4, control(4, 7, is_commit=True)),
        (5, empty),
        (6, odd),
        (7, good(7)),
        end=8,
    )
    records = consume(log, library, aborted=[(7, 0)], isolation=1)
    assert [(r.offset, isinstance(r.value, Unreadable)) for r in records if r.offset != 6] == [
        (3, False),
        (7, False),
    ]


def test_offsets_that_were_compacted_away_are_no_damage(library):
    log = Log(
        (0, batch(0, [record(1), record(4)], last_delta=9)),
        (20, batch(20, [], last_delta=4)),
        (30, batch(30, [record(0)], last_delta=5)),
        end=36,
    )
    records = consume(log, library)
    assert [r.offset for r in records] == [1, 4, 30]
    assert not any(isinstance(r.value, Unreadable) for r in records)


def test_who_only_looks_on_is_given_what_can_be_read(library):
    noted = []
    bad = batch(5, [record(0), BAD_RECORDS["header name"]])
    log = Log((0, good(0, 2)), (2, BAD["checksum"](2)), (5, bad), (7, BAD["codec 7"](7)), end=10)
    records = consume(log, library, note=lambda offset, value: noted.append(offset))
    assert [r.offset for r in records] == [0, 1, 5]
    assert noted == [2, 6, 7]


PIECES = st.lists(
    st.one_of(
        st.sampled_from([BAD[kind] for kind in BAD]),
        st.sampled_from([lambda base, c=codec: good(base, 3, codec=c) for codec in CODECS]),
        st.binary(min_size=1, max_size=200).map(lambda junk: lambda base: bad_at(junk, base)),
    ),
    min_size=1,
    max_size=6,
)


@given(
    pieces=PIECES,
    answer_bytes=st.sampled_from([1, 300, 10**9]),
    name=st.sampled_from(list(LIBRARIES)),
)
def test_no_answer_ends_a_reader_or_makes_it_stand_still(pieces, answer_bytes, name):
    log = Log(
        *((3 * k, piece(3 * k)) for k, piece in enumerate(pieces)),
        (3 * len(pieces), good(3 * len(pieces))),
        end=3 * len(pieces) + 1,
        answer_bytes=answer_bytes,
    )
    records = consume(log, LIBRARIES[name])
    offsets = [r.offset for r in records]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == log.end - 1
    assert records[-1].value == str(log.end - 1).encode()


@given(st.binary(max_size=3000), st.integers(0, 10), st.integers(-1, 10))
def test_any_bytes_at_all_are_read_without_an_error(data, position, highwater):
    for library in LIBRARIES.values():
        doubts = Doubts()
        for _ in range(3):
            batches = RecordBatches(data, position, highwater, max_bytes=1000, doubts=doubts)
            library(batches, position, [], 1)


@given(st.sampled_from(list(CODECS)), st.data())
def test_a_sound_batch_with_any_damage_is_read_without_an_error(codec, data):
    whole = bytearray(good(0, 20, codec=codec))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(21, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    whole[17:21] = crc32c(bytes(whole[21:])).to_bytes(4, "big")
    for library in LIBRARIES.values():
        log = Log((0, bytes(whole)), (20, good(20)), end=21)
        assert consume(log, library)[-1].offset == 20


def test_unreadable_offsets_are_fetched_again_and_then_skipped(library):
    now = [0.0]
    partitions = Partitions(MAX_BYTES, now=lambda: now[0])
    position, seen = 4, []
    for _ in range(30):
        now[0] += 0.3
        if position < 7:
            batches = partitions.read(TP, position, 2, -1, None)
        else:
            batches = partitions.read(TP, position, 0, 8, good(7))
        records, position = library(batches, position, [], 0)
        seen += records
        if position == 8:
            break
    assert values(seen) == [None, b"7"]
    assert seen[0].offset == 4
    assert "CORRUPT_MESSAGE" in seen[0].value.reason


def test_other_errors_of_the_broker_are_left_to_the_library():
    assert Partitions(MAX_BYTES).read(TP, 0, 6, -1, None) is None
    assert Partitions(MAX_BYTES).read(TP, 0, 0, 0, b"") is None


BOMB = """
import resource, sys, zlib
from stream.kafka.records.compression import CodecError, decompress
import lz4.frame, zstandard, cramjam

def compressed(name, megabytes):
    block = bytes(1 << 20)
    if name == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    if name == "lz4":
        packer = lz4.frame.LZ4FrameCompressor()
        parts = [packer.begin()] + [packer.compress(block) for _ in range(megabytes)]
        return b"".join(parts) + packer.flush()
    if name == "zstd":
        packer = zstandard.ZstdCompressor().compressobj()
        return b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    part = bytes(cramjam.snappy.compress_raw(block))
    return b"\\x82SNAPPY\\0" + bytes(8) + (len(part).to_bytes(4, "big") + part) * megabytes

codec, name, megabytes = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
data = memoryview(compressed(name, megabytes))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decompress(codec, data, 8 << 20)
    print("read")
except CodecError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.process
@pytest.mark.parametrize("name", ["gzip", "snappy", "lz4", "zstd"])
def test_the_memory_that_a_bomb_takes_does_not_grow_with_it(name):
    codec = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[name]
    for megabytes in (64, 128, 256):
        done = subprocess.run(
            [sys.executable, "-c", BOMB, str(codec), name, str(megabytes)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        reason, grown = done.stdout.splitlines()
        assert "kafka.wire.max_batch_bytes=8388608" in reason
        assert int(grown) < 40, (name, megabytes, grown)


@pytest.mark.slow
def test_a_batch_with_many_small_records_is_read_without_holding_them(library):
    log = Log((0, good(0, 20_000, codec="gzip")), end=20_000)
    assert len(consume(log, library)) == 20_000
    count = 100_000
    lie = batch(0, [], body=bytes(7) * count, count=count, last_delta=count - 1)
    [refused] = consume(Log((0, lie), end=count), library)
    assert refused.value.last_offset == count - 1
