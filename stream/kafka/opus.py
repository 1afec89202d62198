"""Opus in Ogg without a container for every message: a third of the time.

A message is a small Ogg file of half a second or so, and opening it costs as much as decoding
it. Its pages are simple, so they are read here, and one decoder serves all messages with the same
header. Files that are not plain (several streams, more than two channels, damaged pages) are left
to FFmpeg's container.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import av

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame

RATE = 48_000  # of all Opus
_PAGE = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, serial, number, crc, segments
_FIRST, _LAST = 2, 4
_MOST_DECODERS = 8


class Plain(NamedTuple):
    """A plain Ogg Opus file: its header, its packets, and which samples of them are audio."""

    header: bytes
    packets: list[bytes]
    skip: int
    end: int  # as `skip`, in samples of all that is decoded


def read_plain(value: bytes) -> Plain | None:
    """Return what a plain file holds; None where it is anything but that."""
    packets: list[bytes] = []
    serial = granule = None
    at, number, rest, flags = 0, 0, b"", 0
    while at < len(value):
        if flags & _LAST or at + _PAGE.size > len(value):
            return None
        magic, version, flags, granule, its_serial, its_number, _, n = _PAGE.unpack_from(value, at)
        at += _PAGE.size
        lengths = value[at : at + n]
        at += n
        if (
            (magic, version, its_number, len(lengths)) != (b"OggS", 0, number, n)
            or bool(flags & 1) != bool(rest)
            or bool(flags & _FIRST) != (number == 0)
            or serial not in (None, its_serial)
        ):
            return None
        serial, number = its_serial, number + 1
        for length in lengths:
            rest += value[at : at + length]
            at += length
            if length < 255:
                packets.append(rest)
                rest = b""
    header = packets[0] if packets else b""
    mono_or_stereo = header[8:9] == b"\1" and header[9:10] in (b"\1", b"\2")
    if (
        at != len(value)
        or rest
        or not flags & _LAST
        or len(packets) < 3
        or not (len(header) == 19 and header.startswith(b"OpusHead") and mono_or_stereo)
        or header[18]
        or not packets[1].startswith(b"OpusTags")
        or not all(packets[2:])
    ):
        return None
    skip = int.from_bytes(header[10:12], "little")
    return Plain(header, packets[2:], skip, granule or 0)


class OpusDecoders:
    """The decoders of messages with the headers seen lately."""

    def __init__(self) -> None:
        self._decoders: dict[bytes, AudioCodecContext] = {}

    def frames(self, file: Plain) -> Iterator[AudioFrame]:
        """Yield what the packets decode to, as they are decoded; as new for each file."""
        decoder = self._decoders.pop(file.header, None)
        if decoder is None:
            decoder = av.CodecContext.create("opus", "r")
            # FFmpeg would skip the first samples once, and not after a flush.
            decoder.extradata = file.header[:10] + bytes(2) + file.header[12:]
            decoder.thread_count = 1
        else:
            decoder.flush_buffers()
        for packet in file.packets:
            yield from decoder.decode(av.Packet(packet))
        # One that failed is not kept.
        self._decoders[file.header] = decoder
        if len(self._decoders) > _MOST_DECODERS:
            del self._decoders[next(iter(self._decoders))]
