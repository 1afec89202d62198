"""Find MP3 and ADTS frames in a stream of bytes that is cut into messages anywhere.

While frames follow one another (the framer is in step), each is accepted as soon as its last byte
is received. Out of step, a header counts only if another header of the same kind follows its
frame, or if the frame ends with the message. ID3 tags between frames, as at the start of HLS
segments and songs, are skipped.

The frames found from a frame's first byte on depend only on the bytes from there and on the `kind`
of the frames. So a framer that begins at a known frame finds the same frames as any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airsift.errors import DecodeError
from stream.decoding.tags import APE, ID3, ID3_HEADER_BYTES, ID3V1, id3_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MPEG1_KBPS = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_KBPS = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = (44_100, 48_000, 32_000)
_ADTS_RATES: tuple[int, ...] = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050)
_ADTS_RATES += (16_000, 12_000, 11_025, 8_000, 7_350)
_MAX_ID3 = 1 << 20  # a longer tag is damage: to pass it over would lose a minute of audio
SEARCH_BYTES = 16_384  # of a live stream, for its first frame
_MAX_FRAME = 8_192
_IN_A_ROW = 4  # frames; noise contains shorter runs
_CONTAINERS = (b"OggS", b"fLaC", b"RIFF", b"ID3", b"\x1aE\xdf\xa3", b"FORM", b".snd", b"caff")
_MAX_SEARCH = 1 << 16  # bytes that are no frames, in one message, beyond half of it
_AFTER_SONG = (ID3, ID3V1, APE)  # tags that may follow the last frame of a song


class Header(NamedTuple):
    """A frame's header.

    Parameters
    ----------
    size : int
        Bytes of the whole frame.
    samples, rate : int
        Samples per channel, and per second.
    kind : int
        Header bits that all frames of a stream share.
    """

    size: int
    samples: int
    rate: int
    kind: int


class Frame(NamedTuple):
    """One frame; `data` is empty where it is known to be damaged.

    `is_earlier` says whether it began before the message that completes it.
    """

    data: bytes
    header: Header
    is_earlier: bool


def read_mpeg(data: bytes, at: int = 0) -> Header | None:
    """Return the header of the MPEG audio frame at `at`; None if there is none."""
    word = int.from_bytes(data[at : at + 4], "big")
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bit_rate, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    is_mpeg1 = version == 3  # 2 is MPEG-2, and 0 is MPEG-2.5
    rate = _MPEG_RATES[rate] >> (0 if is_mpeg1 else 1 if version == 2 else 2)
    bit_rate = 1000 * (_MPEG1_KBPS if is_mpeg1 else _MPEG2_KBPS)[layer][bit_rate - 1]
    if layer == 1:
        size, samples = (12 * bit_rate // rate + padding) * 4, 384
    else:
        samples = 576 if layer == 3 and not is_mpeg1 else 1152
        size = samples // 8 * bit_rate // rate + padding
    return Header(size, samples, rate, word & 0x1E0C00)


def read_adts(data: bytes, at: int = 0) -> Header | None:
    """Return the header of the ADTS frame at `at`; None if there is none."""
    head = data[at : at + 7]
    word = int.from_bytes(head, "big")
    rate, size = word >> 34 & 15, word >> 13 & 0x1FFF
    if word >> 44 != 0xFFF or word >> 41 & 3 or rate >= len(_ADTS_RATES) or size <= 9:
        return None
    return Header(size, 1024 * ((word & 3) + 1), _ADTS_RATES[rate], word >> 34 & 0x23F)


class Format(NamedTuple):
    """How the frames of one codec are found.

    Parameters
    ----------
    name : str
        For messages to people.
    read : callable
        Reads a header.
    header_bytes, max_bytes : int
        Length of a header, and of the longest frame.
    samples : int
        Of a usual frame.
    search : re.Pattern
        Matches where a frame or an ID3 tag may begin.
    """

    name: str
    read: Callable[[bytes, int], Header | None]
    header_bytes: int
    max_bytes: int
    samples: int
    search: re.Pattern[bytes]


_MPEG_BEGINS = re.compile(rb"\xff(?=[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef])|I(?=D3)")
_ADTS_BEGINS = re.compile(rb"\xff(?=[\xf0\xf1\xf8\xf9])|I(?=D3)")
FORMATS = {
    "mp3float": Format("mp3", read_mpeg, 4, 3_000, 1152, _MPEG_BEGINS),
    "aac": Format("aac", read_adts, 7, 8_200, 1024, _ADTS_BEGINS),
}


class Framer:
    """Finds the frames of one stream.

    Parameters
    ----------
    form : Format
        Of which codec.
    skip : int, optional
        Bytes of the next message before the first frame that begins in it; None to search for
        that frame.
    kind : int, optional
        `Header.kind` of the frames so far.

    Attributes
    ----------
    first : tuple of (int, int or None), or None
        `skip` and `kind` for a framer that begins with the last message and continues like this
        one; None if no frame is known to begin in that message.
    """

    def __init__(self, form: Format, skip: int | None = None, kind: int | None = None) -> None:
        self._form = form
        self._rest = b""  # the unused end of the last message
        self._skip = skip or 0  # bytes to skip
        self._in_step = skip is not None
        self._kind = kind
        self._junk = 0  # bytes skipped since the last frame
        self.first: tuple[int, int | None] | None = None

    @property
    def is_partial(self) -> bool:
        """Whether the last message ended within a frame."""
        return bool(self._rest)

    def frames(self, value: bytes) -> Iterator[Frame]:
        """Yield the frames that end in `value`. After that, `first` is set.

        Raises
        ------
        DecodeError
            `value` is no such stream.
        """
        earlier, data = len(self._rest), self._rest + value
        at, self.first = self._skip, None
        self._size, self._earlier, self._passed = len(value), earlier, 0
        while True:
            at, header = self._find(data, at)
            if self._in_step and self.first is None and earlier <= at < len(data):
                self.first = at - earlier, self._kind
            if header is None or at + header.size > len(data):
                break
            self._junk = 0
            is_earlier, end = at < earlier, at + header.size
            if is_earlier and not self._may_follow(data, end):
                # Its two parts do not belong together: bytes between them are lost.
                self._in_step, at = False, earlier
                yield Frame(b"", header, is_earlier)
            else:
                yield Frame(data[at:end], header, is_earlier)
                at = end
        self._rest, self._skip = data[at:], max(at - len(data), 0)
        if not self._in_step and self._junk + len(self._rest) > self._form.max_bytes:
            self._junk += len(self._rest)
            raise self._no_stream()

    def _find(self, data: bytes, at: int) -> tuple[int, Header | None]:
        """Return where the next frame begins, and its header; None where that takes more bytes."""
        form = self._form
        while at < len(data):
            if data.startswith(ID3, at):
                if len(data) < at + ID3_HEADER_BYTES:
                    return at, None
                if 0 < (tag := id3_bytes(data, at)) <= _MAX_ID3:
                    self._in_step, at = False, at + tag
                    continue
            if self._in_step:
                if len(data) < at + form.header_bytes:
                    return at, None
                header = form.read(data, at)
                if header is not None and self._kind in (None, header.kind):
                    self._kind = header.kind
                    return at, header
                self._in_step = False
            at, is_frame = self._search(data, at)
            if is_frame is None:
                return at, None
            self._in_step = is_frame
        return at, None

    def _search(self, data: bytes, at: int) -> tuple[int, bool | None]:
        """Return where a frame (True) or a tag (False) begins; None where that takes more bytes."""
        for match in self._form.search.finditer(data, at):
            self._pass_over(match.start() - at)
            at = match.start()
            if 2 * self._passed > at - self._earlier + 2 * _MAX_SEARCH:
                raise self._no_stream()
            if data[at] != ID3[0]:
                found = self._begins(data, at)
            elif 0 < id3_bytes(data, at) <= _MAX_ID3:
                return at, False
            else:
                found = None if len(data) < at + ID3_HEADER_BYTES else False
            if found is not False:
                return at, found
        rest = max(at, len(data) - self._form.header_bytes + 1)
        self._pass_over(rest - at)
        return rest, None

    def _begins(self, data: bytes, at: int) -> bool | None:
        """Return whether a frame begins; None where that takes more bytes."""
        form = self._form
        if len(data) < at + ID3_HEADER_BYTES:
            return None
        header = form.read(data, at)
        if header is None:
            return False
        end = at + header.size
        if end != len(data) and end + form.header_bytes > len(data):
            return None
        follows = form.read(data, end) if end < len(data) else header
        if (follows and follows.kind == header.kind) or data.startswith(_AFTER_SONG, end):
            self._kind = header.kind
            return True
        return False

    def _pass_over(self, n: int) -> None:
        self._junk += n
        self._passed += n

    def _may_follow(self, data: bytes, at: int) -> bool:
        """Return whether the bytes after a frame may follow it."""
        if len(data) < at + self._form.header_bytes:
            return True
        return self._form.read(data, at) is not None or data.startswith(_AFTER_SONG, at)

    def _no_stream(self) -> DecodeError:
        name = self._form.name
        return DecodeError(
            f"{self._size} bytes are not a stream of {name} frames (none follows on another "
            f"in {self._junk} bytes); check content-type"
        )


def frame_start(head: bytes, *, is_all: bool = False) -> int | None:
    """Return the index of the first whole MP3 or ADTS frame of a live stream.

    FFmpeg finds it too, but reads up to 15 s of the stream before it accepts it as MP3.

    Parameters
    ----------
    head : bytes
        The beginning of the stream, which may be in the middle of a frame.
    is_all : bool
        Whether there are no more bytes.

    Returns
    -------
    int or None
        0 for other formats; None while more bytes are needed.
    """
    if head.startswith(_CONTAINERS) or head[4:8] == b"ftyp":
        return 0
    at = head.find(b"\xff")
    while 0 <= at < min(len(head), _MAX_FRAME):
        for read in (read_mpeg, read_adts):
            found = _follows(head, at, read(head, at))
            if found:
                return at
            if found is None and not is_all and len(head) < SEARCH_BYTES:
                return None
        at = head.find(b"\xff", at + 1)
    return 0 if is_all or len(head) >= SEARCH_BYTES else None


def _follows(head: bytes, at: int, header: Header | None) -> bool | None:
    """Return whether frames of one kind follow each other from `at` on; None if too short."""
    first = header
    for _ in range(_IN_A_ROW - 1):
        if header is None or first is None or header.kind != first.kind:
            return False
        at += header.size
        if at + 7 > len(head):
            return None
        header = (read_adts if _is_adts(head, at) else read_mpeg)(head, at)
    return header is not None and first is not None and header.kind == first.kind


def _is_adts(head: bytes, at: int) -> bool:
    return head[at] == 0xFF and head[at + 1] & 0xF6 == 0xF0
