"""Read the packets of an Ogg file in memory; each byte is read once, whatever its pages."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, serial, number, crc, segments
_CONTINUED, _FIRST = 1, 2
_HEADS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC")


class OggPacket(NamedTuple):
    """A packet of an audio stream.

    Parameters
    ----------
    data : bytes
        At least one.
    is_first : bool
        Whether a stream begins with it.
    granule : int, optional
        Position of the page, in samples, if this is the last packet that ends on it.
    """

    data: bytes
    is_first: bool
    granule: int | None


def read_ogg(value: bytes) -> Iterator[OggPacket]:
    """Yield the packets of the audio streams in a file, which follow one another.

    Raises
    ------
    ValueError
        It is damaged, cut short, or no such file.
    """
    serial = number = None
    parts: list[bytes] = []  # of a packet that goes on
    at = 0
    while at < len(value):
        if at + _PAGE.size > len(value):
            raise ValueError("it ends within a page")
        magic, _, flags, granule, its_serial, its_number, _, n = _PAGE.unpack_from(value, at)
        if magic != b"OggS":
            raise ValueError(f"there is no page at byte {at}")
        at += _PAGE.size
        lengths = value[at : at + n]
        at += n
        end = at + sum(lengths)
        if end > len(value):
            raise ValueError("it ends within a page")
        is_first = bool(flags & _FIRST) and value.startswith(_HEADS, at)
        if is_first:
            serial, number = its_serial, its_number
        if its_serial == serial:
            if number != its_number or bool(flags & _CONTINUED) != bool(parts):
                raise ValueError("a page is missing or damaged")
            number += 1
            yield from _read_page(value, at, lengths, parts, is_first, granule)
        at = end
    if parts:
        raise ValueError("it ends within a packet")


def _read_page(
    value: bytes, at: int, lengths: bytes, parts: list[bytes], is_first: bool, granule: int
) -> Iterator[OggPacket]:
    """Yield the packets that end on a page; `parts` holds what began on those before."""
    last = len(lengths.rstrip(b"\xff")) - 1  # of the segments that end a packet
    begin = at
    for i, length in enumerate(lengths[: last + 1]):
        at += length
        if length < 255:
            parts.append(value[begin:at])
            data = b"".join(parts)
            parts.clear()
            begin = at
            if data:
                yield OggPacket(data, is_first, granule if i == last else None)
                is_first = False
    if last < len(lengths) - 1:
        parts.append(value[begin : begin + sum(lengths[last + 1 :])])
