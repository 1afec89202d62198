"""Kafka's record batches built by hand, sound or damaged."""

from __future__ import annotations

import gzip
import struct
import zlib
from functools import partial

import lz4.frame
import snappy
import zstandard
from crc32c import crc32c

CODECS = {
    "none": (0, bytes),
    "gzip": (1, partial(gzip.compress, mtime=0)),
    "snappy": (2, snappy.compress),
    "snappy as Java has it": (2, lambda data: xerial(data)),
    "lz4": (3, lz4.frame.compress),
    "lz4 as Java has it": (3, lambda data: lz4.frame.compress(data, store_size=False)),
    "zstd": (4, zstandard.ZstdCompressor().compress),
    "zstd as Java has it": (
        4,
        lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
    ),
}


def xerial(data: bytes, block: int = 1000) -> bytes:
    parts = [b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)]
    for at in range(0, len(data), block):
        packed = snappy.compress(data[at : at + block])
        parts += [struct.pack(">i", len(packed)), packed]
    return b"".join(parts)


def varint(value: int) -> bytes:
    bits = (value << 1) ^ (value >> 63)
    out = bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    return bytes([*out, bits])


def nullable(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def record(delta, key=b"k", value=b"v", headers=(), *, length=None, tail=b""):
    body = b"\0" + varint(0) + varint(delta) + nullable(key) + nullable(value)
    body += varint(len(headers))
    body += b"".join(nullable(name) + nullable(content) for name, content in headers) + tail
    return varint(len(body) if length is None else length) + body


def batch(
    base,
    records,
    *,
    codec="none",
    body=None,
    attributes=None,
    count=None,
    last_delta=None,
    length=None,
    magic=2,
    crc=None,
    producer=-1,
):
    number, compress = CODECS[codec]
    plain = b"".join(records)
    body = compress(plain) if body is None else body
    count = len(records) if count is None else count
    last_delta = len(records) - 1 if last_delta is None else last_delta
    checked = struct.pack(
        ">hiqqqhii",
        number if attributes is None else attributes,
        last_delta,
        1_700_000_000_000,
        1_700_000_000_000,
        producer,
        0 if producer >= 0 else -1,
        -1,
        count,
    )
    checked += body
    crc = crc32c(checked) if crc is None else crc
    length = len(checked) + 9 if length is None else length
    return struct.pack(">qiibI", base, length, 0, magic, crc) + checked


def legacy(offset, key=b"k", value=b"v", *, magic=1, attributes=0):
    body = struct.pack(">bb", magic, attributes)
    body += struct.pack(">q", 1_700_000_000_000) if magic else b""
    for part in (key, value):
        body += struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
    return struct.pack(">qiI", offset, len(body) + 4, zlib.crc32(body)) + body


def good(base, n=1, **options):
    """Records whose values are their offsets."""
    records = [record(d, value=str(base + d).encode()) for d in range(n)]
    return batch(base, records, **options)


def control(base, producer, *, is_commit):
    key = struct.pack(">hh", 0, int(is_commit))
    return batch(base, [record(0, key, bytes(6))], attributes=0x30, producer=producer)


# Each takes the base offset and returns one batch that stands for three offsets.
BAD = {
    "codec 7": lambda base: good(base, 3, attributes=7),
    "codec 5": lambda base: good(base, 3, attributes=5),
    "no gzip": lambda base: good(base, 3, attributes=1),
    "no snappy": lambda base: good(base, 3, attributes=2),
    "no lz4": lambda base: good(base, 3, attributes=3),
    "no zstd": lambda base: good(base, 3, attributes=4),
    "cut gzip": lambda base: good(base, 3, body=CODECS["gzip"][1](b"abc" * 99)[:-9], attributes=1),
    "checksum": lambda base: good(base, 3, crc=1),
    "flipped bit": lambda base: flip(good(base, 3), -2),
    "flipped count": lambda base: flip(good(base, 3), 60),
    "flipped last delta": lambda base: flip(good(base, 3), 26),
    "flipped attributes": lambda base: flip(good(base, 3), 22),
    "format 3": lambda base: good(base, 3, magic=3),
    "format -1": lambda base: good(base, 3, magic=-1),
    "format 99": lambda base: good(base, 3, magic=99),
    "count too high": lambda base: good(base, 3, count=2**31 - 1),
    "count one too many": lambda base: good(base, 3, count=4),
    "count too low": lambda base: good(base, 3, count=2),
    "count negative": lambda base: good(base, 3, count=-1),
    "bytes after": lambda base: good(base, 3, body=good(base, 3)[61:] + b"??"),
    "body empty": lambda base: good(base, 3, body=b""),
    "body cut": lambda base: good(base, 3, body=good(base, 3)[61:-3]),
    "body garbage": lambda base: good(base, 3, body=bytes(range(256))),
    "record length": lambda base: batch(
        base, [record(0), record(1, length=2**30), record(2)], last_delta=2
    ),
    "record length negative": lambda base: batch(
        base, [record(0), record(1, length=-5), record(2)], last_delta=2
    ),
    "endless number": lambda base: batch(base, [record(0), b"\xff" * 40], count=3, last_delta=2),
    "offset too high": lambda base: batch(base, [record(0), record(9), record(2)], last_delta=2),
    "offset again": lambda base: batch(base, [record(0), record(0), record(2)], last_delta=2),
    "offset negative": lambda base: batch(base, [record(-1), record(1), record(2)], last_delta=2),
}


def as_record(body: bytes) -> bytes:
    return varint(len(body)) + body


# Each is one record that is damaged within a batch that is sound.
BAD_RECORDS = {
    "header name": record(1, headers=[(b"\xff\xfe", b"x")]),
    "header name null": record(1, headers=[(None, b"x")]),
    "header count": as_record(b"\0\0\x02" + nullable(b"k") + nullable(b"v") + varint(1000)),
    "header count negative": as_record(b"\0\0\x02" + nullable(b"k") + nullable(b"v") + varint(-1)),
    "key too long": as_record(b"\0\0\x02" + varint(10**6) + bytes(3)),
    "value too long": as_record(b"\0\0\x02" + nullable(b"k") + varint(2**40) + bytes(3)),
    "bytes after the headers": record(1, tail=b"??"),
    "nothing in it": as_record(b"\0\0\x02\xff\xff\xff"),
}


def flip(data: bytes, at: int) -> bytes:
    out = bytearray(data)
    out[at] ^= 0x04
    return bytes(out)
