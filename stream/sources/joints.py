"""Where files were joined to one: several songs with ``cat``, a web radio's recording.

FFmpeg reads a joined file as one stream: it ends where a link of an Ogg chain has other
channels, takes a second tag or Xing header for damage, and knows the encoder's delay of the first
part alone. So each part is read by itself. Every byte is looked at once, and a tag is passed over
whatever its size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from stream.kafka.framing import Header, read_adts, read_mpeg

Span = tuple[int, int]  # bytes [start, end) of the file

_BLOCK = 1 << 20
MAX_PARTS = 10_000  # what comes after them is read as one
_MAX_MARKS = 100_000  # of a file without links; more are made up
_MAX_PADDING = 1 << 16  # bytes
_OVERLAP = 7  # of blocks: a mark that is cut is found in the next one
_XING_AT = {(True, True): 36, (True, False): 21, (False, True): 21, (False, False): 13}
_FRAME_ID = re.compile(rb"[A-Z][A-Z0-9]{2,3}|\0{4}")
_TAGS = (b"ID3", b"TAG", b"APETAGEX")
_XING = (b"Xing", b"Info", b"VBRI")
_FLAC = b"fLaC"


def find_parts(file: BinaryIO, size: int, format_name: str) -> list[list[Span]]:
    """Return the parts of a file, each as the ranges of bytes that hold its audio.

    Parameters
    ----------
    file : binary file object
        Seekable.
    size : int
        Its length in bytes.
    format_name : str
        FFmpeg's name of its format.

    Returns
    -------
    list of list of (int, int)
        One part for what is not joined, and for formats that are not looked into.
    """
    if format_name == "ogg":
        return _links(file, size)
    if format_name == "flac":
        return _Tagged(file, size, _is_flac, (_FLAC,)).parts()
    if format_name == "mp3":
        return _Tagged(file, size, read_mpeg, _XING).parts()
    if format_name == "aac":
        return _Tagged(file, size, read_adts, ()).parts()
    return [[(0, size)]]


def _links(file: BinaryIO, size: int) -> list[list[Span]]:
    """Return the links of an Ogg chain: each begins with the first page of all its streams."""
    begins, among_first = [0], True
    marks = _Marks(file, size, (b"OggS",))
    for at in marks:
        page = _page(file, at)
        if page is None:
            continue
        is_first, length = page
        if is_first and not among_first and len(begins) < MAX_PARTS:
            begins.append(at)
        among_first = is_first
        marks.done = at + length
    return [[span] for span in zip(begins, [*begins[1:], size], strict=True)]


def _page(file: BinaryIO, at: int) -> tuple[bool, int] | None:
    """Return whether a page is the first of its stream, and its length; None if there is none."""
    file.seek(at)
    head = file.read(27 + 255)
    if head[:5] != b"OggS\0" or len(head) < 27 or head[5] > 7:
        return None
    return bool(head[5] & 2), 27 + head[26] + sum(head[27 : 27 + head[26]])


class _Marks:
    """The places of some marks in a file, in order.

    Attributes
    ----------
    done : int
        What lies before this byte is passed over.
    """

    def __init__(self, file: BinaryIO, size: int, marks: Sequence[bytes]) -> None:
        self._file = file
        self._size = size
        self._marks = marks
        self.done = 0

    def __iter__(self) -> Iterator[int]:
        at = 0
        while at < self._size:
            self._file.seek(at)
            block = self._file.read(_BLOCK)
            if not block:
                return
            end = at + len(block)
            limit = end - _OVERLAP if end < self._size else end
            for place in sorted(at + place for place in _places(block, self._marks)):
                if self.done <= place < limit:
                    yield place
            at = max(limit, self.done)


def _places(block: bytes, marks: Sequence[bytes]) -> Iterator[int]:
    for mark in marks:
        place = block.find(mark)
        while place >= 0:
            yield place
            place = block.find(mark, place + 1)


def _is_flac(data: bytes, at: int = 0) -> Header | None:
    """Return a header for where a FLAC file begins: its marker and its first block's."""
    is_one = data[at : at + 4] == _FLAC and data[at + 4] & 0x7F == 0 and data[at + 5 : at + 8]
    return Header(0, 0, 0, 0) if is_one == b"\0\0\x22" else None


class _Tagged:
    """Frames of one codec with tags before, between and after them."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        read_header: Callable[[bytes, int], Header | None],
        begins: tuple[bytes, ...],
    ) -> None:
        self._file = file
        self._size = size
        self._read_header = read_header
        self._marks = (*_TAGS, *begins)
        self._parts: list[list[Span]] = [[]]
        self._from = 0  # first byte of the range that is open

    def parts(self) -> list[list[Span]]:
        """Look through the file."""
        marks = _Marks(self._file, self._size, self._marks)
        for count, at in enumerate(marks):
            if count > _MAX_MARKS or len(self._parts) > MAX_PARTS:
                break
            head = self._read(at, 32)
            if head.startswith(_XING):
                self._begin(self._frame_of(at))
            elif head.startswith(_FLAC):
                if _is_flac(head.ljust(8)):
                    self._begin(at)
                    marks.done = self._after_metadata(at + 4)
            elif (tag := self._tag(at, head)) is not None:
                marks.done = tag[1]
                self._leave_out(*tag)
        self._close(self._size)
        return [part for part in self._parts if part] or [[(0, self._size)]]

    def _begin(self, at: int | None) -> None:
        if at is not None and at >= self._from:
            self._close(at)
            if self._parts[-1]:
                self._parts.append([])
            self._from = at

    def _is_padding(self, end: int) -> bool:
        """Return whether the range that is open holds nothing up to `end` but a few zeros."""
        n = end - self._from
        return n <= _MAX_PADDING and not self._read(self._from, n).strip(b"\0")

    def _leave_out(self, start: int, end: int) -> None:
        self._close(max(start, self._from))
        self._from = end

    def _close(self, end: int) -> None:
        if end > self._from and not self._is_padding(end):
            self._parts[-1].append((self._from, end))

    def _read(self, at: int, n: int) -> bytes:
        self._file.seek(at)
        return self._file.read(n)

    def _frame_of(self, at: int) -> int | None:
        """Return where the frame begins whose Xing, Info or VBRI header is at `at`."""
        before = self._read(max(at - 36, 0), min(at, 36))
        for distance in {36} if self._read(at, 4) == b"VBRI" else {36, 21, 13}:
            head = before[-distance:][:4] if len(before) >= distance else b""
            if len(head) == 4 and read_mpeg(head):
                is_mpeg1, is_stereo = head[1] >> 3 & 3 == 3, head[3] >> 6 != 3
                if head[1] >> 1 & 3 == 1 and distance in (_XING_AT[is_mpeg1, is_stereo], 36):
                    return at - distance
        return None

    def _tag(self, at: int, head: bytes) -> Span | None:
        """Return the range of the tag at `at`; None if it only looks like one."""
        if head.startswith(b"APETAGEX"):
            length, flags = (int.from_bytes(head[i : i + 4], "little") for i in (12, 20))
            if flags >> 29 & 1 or len(head) < 32:  # it begins here, and ends here otherwise
                return at, min(at + 32 + length, self._size)
            return max(at + 32 - length, 0), at + 32
        if head.startswith(b"TAG"):
            end = at + 128
            return (at, end) if self._goes_on(end) else None
        sizes = head[6:10]
        if len(head) < 10 or not 2 <= head[3] <= 4 or head[5] & 15 or max(sizes) > 127:
            return None
        length = sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3]
        end = at + 10 + length + (10 if head[5] & 16 else 0)
        is_tag = _FRAME_ID.match(head, 10) or (end <= self._size and self._goes_on(end))
        return (at, min(end, self._size)) if is_tag else None

    def _goes_on(self, at: int) -> bool:
        """Return whether audio, a tag or the end of the file is at `at`."""
        head = self._read(at, 16)
        if at >= self._size:
            return at == self._size
        return head.startswith(_TAGS) or self._read_header(head.ljust(16), 0) is not None

    def _after_metadata(self, at: int) -> int:
        """Return where the metadata blocks of a FLAC file end; pictures are passed over."""
        while len(head := self._read(at, 4)) == 4:
            at += 4 + int.from_bytes(head[1:], "big")
            if head[0] & 0x80:
                break
        return at
