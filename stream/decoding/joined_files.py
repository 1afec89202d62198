"""Find the parts of a file that was joined from several: songs with ``cat``, or a recording.

FFmpeg reads a joined file as one stream: it stops where a link of an Ogg chain has other channels,
treats a second tag or Xing header as damage, and uses only the first part's encoder delay. So each
part is decoded by itself. Every byte is searched once, and a tag of any size is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from stream.decoding.framing import Header, read_adts, read_mpeg
from stream.decoding.tags import (
    ID3V1,
    ID3V1_BYTES,
    LYRICS,
    MAX_LYRICS_BYTES,
    TAGS,
    ape_range,
    id3_bytes,
    lyrics_end,
)

Span = tuple[int, int]  # bytes [start, end) of the file

_NEAR = 1 << 20  # bytes that are read ahead
_BEFORE = 36  # maximum bytes from a frame to its Xing header
MAX_PARTS = 10_000  # the rest is read as one part
_MAX_MARKS = 100_000  # in a file without links; more are forged
_MAX_PAGE = 27 + 255 * 256  # bytes of a page of Ogg
_MAX_PADDING = 1 << 16  # bytes
_OVERLAP = 10  # of blocks, for marks that are cut
_XING_AT = {(True, True): 36, (True, False): 21, (False, True): 21, (False, False): 13}
_FRAME_ID = re.compile(rb"[A-Z][A-Z0-9]{2,3}|\0{4}")
_XING = (b"Xing", b"Info", b"VBRI")
_FLAC = b"fLaC"


class Found(NamedTuple):
    """A range of bytes with audio.

    Parameters
    ----------
    begins : bool
        Whether it begins a part.
    start, end : int
        Bytes [start, end) of the file.
    """

    begins: bool
    start: int
    end: int


def find_parts(file: BinaryIO, size: int, format_name: str) -> list[list[Span]]:
    """Return the parts of a file, each as the ranges of bytes with its audio.

    Parameters
    ----------
    file : binary file object
        Seekable.
    size : int
        Its length in bytes.
    format_name : str
        FFmpeg's name of its format, one of `JOINED`.
    """
    parts: list[list[Span]] = []
    for begins, start, end in find_audio(file, size, format_name):
        if begins or not parts:
            parts.append([])
        if parts[-1] and parts[-1][-1][1] == start:
            parts[-1][-1] = parts[-1][-1][0], end
        else:
            parts[-1].append((start, end))
    return parts or [[(0, size)]]


def find_audio(
    file: BinaryIO, size: int, format_name: str, block: int = 1 << 20
) -> Iterator[Found]:
    """Yield the ranges of bytes with audio, in order.

    The file is read once from its beginning to its end, `block` bytes at a time. A caller that
    reads each range at once needs no file that can seek back.
    """
    if format_name == "ogg":
        yield from _links(_Marks(file, size, (b"OggS",), block))
        return
    read_header, begins = _FORMATS[format_name]
    yield from _Tagged(_Marks(file, size, (*TAGS, *begins), block), read_header).audio()


def _links(marks: _Marks) -> Iterator[Found]:
    """Yield the pages of an Ogg chain: a link begins with the first page of all its streams."""
    among_first, links, begin = False, 0, 0
    for at, is_mark in marks:
        page = _page(marks.read(at, 27 + 255)) if is_mark else None
        if page is None:
            continue
        is_first, length = page
        after = marks.read(at + length, 4)
        is_damaged = bool(after) and after != b"OggS"
        if is_damaged:  # or cut: other pages may begin within it
            length = 27
        if at > begin:  # damaged: FFmpeg decides
            yield Found(False, begin, at)
        begin = marks.done = min(at + length, marks.size)
        begins = is_first and not among_first and links < MAX_PARTS
        links += begins
        among_first = is_first and not is_damaged
        yield Found(begins, at, begin)
    if marks.end > begin:
        yield Found(False, begin, marks.end)


def _page(head: bytes) -> tuple[bool, int] | None:
    """Return whether a page is the first of its stream, and its length; None if there is none."""
    if head[:5] != b"OggS\0" or len(head) < 27 or head[5] > 7:
        return None
    return bool(head[5] & 2), 27 + head[26] + sum(head[27 : 27 + head[26]])


def is_last_page_cut(file: BinaryIO, size: int) -> bool:
    """Return whether an Ogg file ends within a page."""
    low = max(size - _MAX_PAGE, 0)
    file.seek(low)
    last = file.read(size - low)
    page = _page(last[last.rfind(b"OggS\0") :][: 27 + 255])
    return page is not None and last.rfind(b"OggS\0") + page[1] > len(last)


class _Marks:
    """The positions of some marks in a file, in order.

    Attributes
    ----------
    done : int
        Bytes before this one are skipped.
    end : int
        First byte that was not searched.
    """

    def __init__(self, file: BinaryIO, size: int, marks: Sequence[bytes], block: int) -> None:
        self.size = size
        self.done = self.end = 0
        self._file = file
        self._marks = marks
        self._block = block

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        """Yield positions of marks with True, and ends of searched ranges with False."""
        while self.end < self.size:
            at = self.end
            block = self.read(at, self._block)
            end = at + len(block)
            is_last = len(block) < self._block or end == self.size
            limit = end if is_last else end - _OVERLAP
            for place in sorted(at + place for place in _places(block, self._marks)):
                if self.done <= place < limit:
                    yield place, True
            self.end = max(limit, self.done)
            if is_last:
                return
            yield self.end, False

    def read(self, at: int, n: int) -> bytes:
        """Return `n` bytes from `at` on, fewer at the end of the file."""
        self._file.seek(at)
        return self._file.read(n)


def _places(block: bytes, marks: Sequence[bytes]) -> Iterator[int]:
    for mark in marks:
        place = block.find(mark)
        while place >= 0:
            yield place
            place = block.find(mark, place + 1)


def _is_flac(data: bytes, at: int = 0) -> Header | None:
    """Return a header if a FLAC file begins at `at`: its marker and its first block."""
    is_one = data[at : at + 4] == _FLAC and data[at + 4] & 0x7F == 0 and data[at + 5 : at + 8]
    return Header(0, 0, 0, 0) if is_one == b"\0\0\x22" else None


class _Tagged:
    """The ranges of frames of one codec, with tags before, between and after them."""

    def __init__(self, marks: _Marks, read_header: Callable[[bytes, int], Header | None]) -> None:
        self._marks = marks
        self._read = marks.read
        self._read_header = read_header
        self._from = 0  # first byte that was not yielded
        self._begins = True  # whether a part begins there
        self._is_fresh = True  # whether nothing was yielded since a tag or the beginning
        self._no_lyrics = 0  # before this byte there is no Lyrics3 v1

    def audio(self) -> Iterator[Found]:
        """Yield the ranges with audio."""
        count = parts = 0
        for at, is_mark in self._marks:
            if not is_mark:
                if not self._is_padding(at):
                    yield from self._close(at - _BEFORE)
                continue
            if count >= _MAX_MARKS or parts >= MAX_PARTS:
                continue
            count += 1
            head = self._read(at, 32)
            if head.startswith((*_XING, _FLAC)):
                is_flac = head.startswith(_FLAC)
                begin = (at if _is_flac(head.ljust(8)) else None) if is_flac else self._frame(at)
                if begin is not None and begin >= self._from:
                    yield from self._close(begin)
                    parts += not self._begins
                    self._from, self._begins, self._is_fresh = begin, True, False
                    if is_flac:
                        yield from self._metadata(at + 4)
            elif (tag := self._tag(at, head)) is not None:
                yield from self._close(tag[0])
                self._from = self._marks.done = min(tag[1], self._marks.size)
                self._is_fresh = True
        yield from self._close(min(self._marks.end, self._marks.size))

    def _close(self, end: int) -> Iterator[Found]:
        """Yield the bytes before `end`, unless they are padding."""
        if end > self._from and not self._is_padding(end):
            yield Found(self._begins, self._from, end)
            self._from, self._begins, self._is_fresh = end, False, False

    def _is_padding(self, end: int) -> bool:
        """Return whether only a few zeros lie between a tag and `end`."""
        n = end - self._from
        return self._is_fresh and n <= _MAX_PADDING and not self._read(self._from, n).strip(b"\0")

    def _frame(self, at: int) -> int | None:
        """Return the begin of the frame whose Xing, Info or VBRI header is at `at`."""
        before = self._read(max(at - _BEFORE, 0), min(at, _BEFORE))
        for distance in {36} if self._read(at, 4) == b"VBRI" else {36, 21, 13}:
            head = before[-distance:][:4] if len(before) >= distance else b""
            if len(head) == 4 and read_mpeg(head):
                is_mpeg1, is_stereo = head[1] >> 3 & 3 == 3, head[3] >> 6 != 3
                if head[1] >> 1 & 3 == 1 and distance in (_XING_AT[is_mpeg1, is_stereo], 36):
                    return at - distance
        return None

    def _tag(self, at: int, head: bytes) -> Span | None:
        """Return the range of the tag at `at`; None if there is none."""
        if ape := ape_range(head, at):
            return ape
        if head.startswith(ID3V1):
            end = at + ID3V1_BYTES
            return (at, end) if self._goes_on(end) else None
        if head.startswith(LYRICS):
            return self._lyrics(at)
        length = id3_bytes(head)
        if not length or not 2 <= head[3] <= 4 or head[5] & 15:
            return None
        end = at + length
        is_tag = _FRAME_ID.match(head, 10) or (length < _NEAR and self._goes_on(end))
        return (at, end) if is_tag else None

    def _lyrics(self, at: int) -> Span | None:
        """Return the range of the Lyrics3 tag at `at`."""
        is_new = at >= self._no_lyrics
        end = lyrics_end(self._read, at, is_v1=is_new)
        if is_new and end is None:
            self._no_lyrics = at + MAX_LYRICS_BYTES
        return None if end is None else (at, end)

    def _goes_on(self, at: int) -> bool:
        """Return whether audio, a tag or the end of the file is at `at`."""
        head = self._read(at, 16)
        if not head:
            return len(self._read(at - 1, 1)) == 1
        return head.startswith(TAGS) or self._read_header(head.ljust(16), 0) is not None

    def _metadata(self, at: int) -> Iterator[Found]:
        """Yield the metadata blocks of a FLAC file without pictures."""
        while len(head := self._read(at, 4)) == 4:
            at = min(at + 4 + int.from_bytes(head[1:], "big"), self._marks.size)
            yield from self._close(at)
            self._marks.done = at
            if head[0] & 0x80:
                return


_FORMATS: dict[str, tuple[Callable[[bytes, int], Header | None], tuple[bytes, ...]]] = {
    "flac": (_is_flac, (_FLAC,)),
    "mp3": (read_mpeg, _XING),
    "aac": (read_adts, ()),
}
JOINED = frozenset({"ogg", *_FORMATS})
