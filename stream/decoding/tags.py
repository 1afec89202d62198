"""The tags around the audio of MP3, AAC and FLAC files: ID3, APE and Lyrics3."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ID3, ID3V1, APE, LYRICS = b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN"
TAGS = (ID3, ID3V1, APE, LYRICS)
ID3_HEADER_BYTES = 10
ID3V1_BYTES = 128
MAX_LYRICS_BYTES = 5_120  # of Lyrics3 v1
_APE_HEADER_BYTES = 32


def id3_bytes(data: bytes, at: int = 0) -> int:
    """Return the length of the ID3v2 tag at `at`; 0 if there is none."""
    head = data[at : at + ID3_HEADER_BYTES]
    if len(head) < ID3_HEADER_BYTES or head[:3] != ID3 or 0xFF in head[3:5] or max(head[6:]) > 127:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return size + ID3_HEADER_BYTES * (2 if head[5] & 0x10 else 1)


def ape_range(head: bytes, at: int) -> tuple[int, int] | None:
    """Return the range [start, end) of the APE tag whose header or footer `head` begins at `at`."""
    if not head.startswith(APE):
        return None
    length, flags = (int.from_bytes(head[i : i + 4], "little") for i in (12, 20))
    if flags >> 29 & 1 or len(head) < _APE_HEADER_BYTES:  # a header, else a footer
        return at, at + _APE_HEADER_BYTES + length
    return max(at + _APE_HEADER_BYTES - length, 0), at + _APE_HEADER_BYTES


def lyrics_end(read: Callable[[int, int], bytes], at: int, *, is_v1: bool = True) -> int | None:
    """Return the end of the Lyrics3 tag at `at`, None if there is none.

    Parameters
    ----------
    read : callable
        Returns a number of bytes from a position on.
    at : int
        Where the tag may begin.
    is_v1 : bool
        Whether version 1, text without a length, is searched for as well.
    """
    end = at + len(LYRICS)
    while (field := read(end, 15))[3:8].isdigit() and not field.endswith(b"LYRICS200"):
        end += 8 + int(field[3:8])
    if field.endswith(b"LYRICS200"):
        return end + 15
    length = read(at, MAX_LYRICS_BYTES).find(b"LYRICSEND") if is_v1 else 0
    return at + length + 9 if length > 0 else None
