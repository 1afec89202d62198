"""Files of a header and samples, and the corrections that their headers need.

WAV (RIFF, RIFX, RF64, BW64), Wave64, AIFF and AIFC, AU and CAF state the length of their audio.
A program that writes to a pipe leaves it open, a program that dies leaves its first guess, and in
a WAV file of more than 4 GB it has wrapped. FFmpeg stops at the stated end. Bytes behind it are
audio unless they are further chunks up to the end of the file. If the stated end is unknown or
wrong, such chunks are searched for from the end of the file.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_SAMPLES = (_PCM, _FLOAT, _A_LAW, _MU_LAW)
_NEAR = 1 << 16  # bytes around a round number, which programs write for "unknown"
_MAX_CHUNKS = 10_000  # before the audio
_MAX_HEADER = 1 << 20  # bytes of a chunk that is looked into
MAX_AHEAD = 1 << 20  # bytes before the audio, in what cannot go back
_SLACK = 64  # bytes behind the last chunk that are no audio
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_WAVE = bytes.fromhex("77617665f3acd3118cd100c04f8edb8a")
_W64_TAIL = _W64_WAVE[4:]
# Chunks that are known to follow the audio of WAV files.
_BEHIND = frozenset(
    b"LIST id3  ID3  bext cue  fact PEAK JUNK junk PAD  smpl inst iXML axml chna _PMX cart afsp"
    b" RIFF levl"[i : i + 4]
    for i in range(0, 100, 5)
)
_AIFF_BEHIND = frozenset(
    (
        b"NAME",
        b"AUTH",
        b"(c) ",
        b"ANNO",
        b"MARK",
        b"COMT",
        b"INST",
        b"MIDI",
        b"AESD",
        b"APPL",
        b"ID3 ",
    )
)
_MAX_BEHIND = 1 << 20  # bytes at the end of a file in which their first one is looked for
# Bytes of one sample of AIFF-C, where its name says more than its header.
_AIFF_WIDTHS = {b"raw ": 1, b"alaw": 1, b"ulaw": 1, b"in24": 3, b"in32": 4, b"23ni": 4}
_AIFF_WIDTHS |= {b"fl32": 4, b"fl64": 8}


@dataclass(slots=True)
class Sampled:
    """One such file, or one of several that were joined.

    Parameters
    ----------
    end : int
        First byte that is not part of it.
    stated, there : int
        Bytes of audio by the header, and in the file; `stated` is 0 if it is left open.
    pieces : list of bytes or (int, int), optional
        The pieces that FFmpeg must read instead of the file; none if it reads the file correctly.
    """

    end: int
    stated: int
    there: int
    pieces: list[bytes | tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    size: int
    next: int


def read_sampled(file: BinaryIO, start: int, size: int) -> Sampled | None:
    """Return the description of the file that begins at byte `start`.

    Parameters
    ----------
    file : binary file object
        Seekable.
    start, size : int
        Where it begins, and where the whole file ends.

    Returns
    -------
    Sampled or None
        None if it is no such file, or damaged before its audio.
    """
    head = _read(file, start, 40)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _Wave(file, start, size).read()
    if head[:16] == _W64_RIFF and head[24:40] == _W64_WAVE:
        return _Wave64(file, start, size).read()
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff(file, start, size)
    if head[:4] == b".snd":
        return _au(head, start, size)
    if head[:4] == b"caff":
        return _caf(file, start, size)
    return None


def read_head(file: BinaryIO) -> tuple[bytes, int, int] | None:
    """Read the header of a WAV file that cannot seek back.

    Returns
    -------
    tuple or None
        The header that FFmpeg is to read, the first byte of the audio, and how many of them the
        header states, 0 for an open end. None for what is no such file, or has more before its
        audio than is looked at; `file` has read no more than `MAX_AHEAD` bytes then.
    """
    head = _read(file, 0, 12)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return None
    wave = _Wave(file, 0, MAX_AHEAD)
    found = wave.find()
    if found is None:
        return None
    data, stated, form = found
    header = _wave_header(_correct_format(form, wave.order), wave.order)
    return header, data.start, 0 if wave.is_open(stated) else stated


def is_behind_audio(head: bytes) -> bool:
    """Return whether a WAV file's audio is over where these bytes follow it."""
    names = head[:4], head[1:5]  # audio of odd length is filled up
    return len(head) < 9 or any(name in _BEHIND for name in names)


class _Wave:
    """A WAV file."""

    align = 2
    head_bytes = 12

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file = file
        self.start = start
        self.size = size
        self.order = ">" if _read(file, start, 4) == b"RIFX" else "<"
        self.is_filled = True  # whether all chunks of odd length were filled up
        self.is_wide = False  # whether the length is one of 64 bits

    def read(self) -> Sampled | None:
        """Find the audio, and check its stated length."""
        found = self.find()
        return None if found is None else self._checked(*found)

    def find(self) -> tuple[_Chunk, int, bytes] | None:
        """Return the chunk of the audio, its stated length and the format."""
        at, stated64, form = self.start + self.head_bytes, 0, b""
        for _ in range(_MAX_CHUNKS):
            chunk = self.chunk(at)
            if chunk is None:
                return None
            if chunk.name == b"fmt ":
                form = _read(self.file, chunk.start, min(chunk.size, _MAX_HEADER))
            elif chunk.name == b"ds64":
                stated64 = int.from_bytes(_read(self.file, chunk.start + 8, 8), "little")
            elif chunk.name == b"data":
                self.is_wide = chunk.size == 0xFFFFFFFF and stated64 > 0
                stated = stated64 if self.is_wide else chunk.size
                return (chunk, stated, form) if len(form) >= 14 else None
            at = chunk.next
        return None

    def chunk(self, at: int) -> _Chunk | None:
        """Return the chunk at `at`; None where there is none."""
        head = _read(self.file, at, 8) if at <= self.size else b""
        if len(head) < 8 or not _is_name(head[:4]):
            return None
        size = struct.unpack(self.order + "I", head[4:])[0]
        end = at + 8 + size
        if size % 2:  # which some programs do not fill up
            after = _read(self.file, end, 5) if end <= self.size else b""
            is_unfilled = _is_name(after[:4]) and not _is_name(after[1:])
            self.is_filled &= not is_unfilled
            end += not is_unfilled
        return _Chunk(head[:4], at + 8, size, end)

    def is_open(self, stated: int) -> bool:
        """Return whether a stated length stands for "unknown"."""
        return stated == 0 or any(
            abs(stated - unknown) <= _NEAR for unknown in (1 << 31, (1 << 32) - 1, 1 << 63, 1 << 64)
        )

    def _checked(self, data: _Chunk, stated: int, form: bytes) -> Sampled:
        rest = self.size - data.start
        mended = _correct_format(form, self.order)
        end, is_sound = data.start + stated, mended == form and self.is_filled
        if self.is_open(stated) and not (0 < stated <= rest and self.is_tail(end)):
            stated, end = 0, self.find_tail(data.start, _BEHIND)
            is_sound &= end == self.size
            is_sound &= data.size in (0, 0xFFFFFFFF) and not self.is_wide and self.align == 2
            is_sound &= _read(self.file, self.start, 4) in (b"RIFF", b"RIFX")
        elif stated >= rest:
            end = self.size
        elif not self.is_tail(end):
            end = next(
                (
                    wrapped
                    for wrapped in range(end + (1 << 32), self.size + 1, 1 << 32)
                    if self.is_tail(wrapped)
                ),
                0,
            ) or self.find_tail(data.start, _BEHIND)
            stated, is_sound = end - data.start, False
        pieces: list[bytes | tuple[int, int]] = []
        if not is_sound:
            pieces = [_wave_header(mended, self.order), (data.start, end)]
        return Sampled(self._end_of(end), stated, end - data.start, pieces)

    def is_tail(self, at: int) -> bool:
        """Return whether `at`, behind the audio, is the end or the first of further chunks."""
        return self._end_of(at) + _SLACK >= self.size or self._is_joined(self._end_of(at))

    def find_tail(self, begin: int, names: frozenset[bytes]) -> int:
        """Return where the chunks begin that end the file, or its end if there are none.

        Parameters
        ----------
        begin : int
            First byte of the audio that they follow.
        names : frozenset of bytes
            What the first of them may be called.
        """
        low = max(begin, self.size - _MAX_BEHIND)
        last = _read(self.file, low, self.size - low)
        places = {
            low + match.start() for name in names for match in re.finditer(re.escape(name), last)
        }
        for at in sorted(places):
            if (at - self.start) % self.align == 0 and self._end_of(at) >= self.size:
                return at
        return self.size

    def _end_of(self, at: int) -> int:
        """Return where the chunks end that begin at `at`."""
        at += (at - self.start) % self.align and self.align - (at - self.start) % self.align
        for _ in range(_MAX_CHUNKS):
            chunk = None if self._is_joined(at) else self.chunk(at)
            if chunk is None or chunk.next > self.size + 1:
                break
            at = chunk.next
        if _read(self.file, at, 3) == b"TAG" and at + 128 == self.size:
            return self.size
        return min(at, self.size)

    def _is_joined(self, at: int) -> bool:
        head = _read(self.file, at, 40)
        return head[8:12] == b"WAVE" or head[24:40] == _W64_WAVE


class _Wave64(_Wave):
    """A file of Sony's Wave64: identifiers of 16 bytes, lengths of 8 that count themselves."""

    align = 8
    head_bytes = 40

    def chunk(self, at: int) -> _Chunk | None:
        """Return the chunk at `at`; None where there is none."""
        head = _read(self.file, at, 24)
        if len(head) < 24 or head[4:16] != _W64_TAIL:
            return None
        size = max(int.from_bytes(head[16:], "little") - 24, 0)
        return _Chunk(head[:4], at + 24, size, at + 24 + -(-size // 8) * 8)


def _aiff(file: BinaryIO, start: int, size: int) -> Sampled | None:
    wave = _Wave(file, start, size)
    wave.order = ">"
    at, common = start + 12, b""
    for _ in range(_MAX_CHUNKS):
        chunk = wave.chunk(at)
        if chunk is None:
            return None
        if chunk.name == b"COMM":
            common = _read(file, chunk.start, min(chunk.size, _MAX_HEADER))
        elif chunk.name == b"SSND":
            break
        at = chunk.next
    else:
        return None
    if len(common) < 18:  # it may follow the audio
        return None
    kind = common[18:22] if _read(file, start + 8, 4) == b"AIFC" else b"NONE"
    skip = int.from_bytes(_read(file, chunk.start, 4), "big")
    begin = min(chunk.start + 8 + skip, size)
    stated, rest = max(chunk.size - 8 - skip, 0), size - begin
    channels, frames, bits = struct.unpack(">HIH", common[:8])
    width = channels * _AIFF_WIDTHS.get(kind.lower(), 0)
    if kind in (b"NONE", b"twos", b"sowt"):
        width = channels * -(-bits // 8)
    if wave.is_open(chunk.size) and not (stated and stated <= rest and wave.is_tail(chunk.next)):
        stated = frames * width
    if stated > rest or (0 < stated <= rest and wave.is_tail(begin + stated)):
        end = min(begin + stated, size)
    else:
        stated, end = 0, wave.find_tail(begin, _AIFF_BEHIND)
    there = end - begin
    head = _read(file, start, 12)
    is_sound = end == min(begin + max(chunk.size - 8 - skip, 0), size)
    is_sound &= chunk.size > 8 + skip and bool(stated or not width) and frames > 0
    is_sound &= any(head[4:8])
    pieces: list[bytes | tuple[int, int]] = []
    if not is_sound and width:
        frames = min(there // width, 0xFFFFFFFF)
        common = common[:2] + struct.pack(">I", frames) + common[6:]
        head = (
            b"FORM\xff\xff\xff\xff" + head[8:] + b"COMM" + struct.pack(">I", len(common)) + common
        )
        sound = b"SSND" + struct.pack(">III", min(there + 8, 0xFFFFFFFF), 0, 0)
        pieces = [head + bytes(len(common) % 2) + sound, (begin, end)]
    return Sampled(size, stated, there, pieces)


def _au(head: bytes, start: int, size: int) -> Sampled | None:
    if len(head) < 24:
        return None
    at, stated = struct.unpack(">II", head[4:12])
    rest = max(size - start - at, 0)
    is_open = stated == 0 or stated >= (1 << 32) - _NEAR
    pieces: list[bytes | tuple[int, int]] = []
    if stated == 0:
        pieces = [head[:8] + b"\xff\xff\xff\xff" + head[12:24], (start + 24, size)]
    return Sampled(size, stated if not is_open and stated > rest else 0, rest, pieces)


def _caf(file: BinaryIO, start: int, size: int) -> Sampled | None:
    is_even = False
    at = start + 8
    for _ in range(_MAX_CHUNKS):
        head = _read(file, at, 12)
        if len(head) < 12 or not _is_name(head[:4]):
            return None
        length = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"desc":  # bytes in a packet: 0 where they differ
            is_even = int.from_bytes(_read(file, at + 12 + 16, 4), "big") > 0
        if head[:4] == b"data":
            break
        at += 12 + max(length, 0)
    else:
        return None
    begin, rest = at + 12, size - at - 12
    if length > rest:
        return Sampled(size, length, rest)
    if length < 0 or not is_even or (length > 4 and _is_caf_tail(file, begin + length, size)):
        return Sampled(size, 0, rest)
    return Sampled(size, 0, rest, [(start, at + 4), b"\xff" * 8, (begin, size)])


def _is_caf_tail(file: BinaryIO, at: int, size: int) -> bool:
    for _ in range(_MAX_CHUNKS):
        head = _read(file, at, 12)
        if at + _SLACK >= size or len(head) < 12 or not _is_name(head[:4]):
            break
        at += 12 + max(int.from_bytes(head[4:], "big", signed=True), 0)
    return at + _SLACK >= size


def _wave_header(form: bytes, order: str) -> bytes:
    """Return the beginning of a WAV file whose audio goes on to its end."""
    riff = b"RIFX" if order == ">" else b"RIFF"
    size = struct.pack(order + "I", len(form))
    return riff + b"\xff\xff\xff\xffWAVEfmt " + size + form + b"data\xff\xff\xff\xff"


def _read(file: BinaryIO, at: int, n: int) -> bytes:
    file.seek(at)
    return file.read(n)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _correct_format(form: bytes, order: str) -> bytes:
    """Return the contents of a ``fmt`` chunk without contradictions.

    FFmpeg cuts packets at multiples of the block align, so a wrong one swaps the bytes of samples.
    Channels and bits are taken as correct.

    Parameters
    ----------
    form : bytes
        As in the file, of 14 bytes and more.
    order : {"<", ">"}
        Order of bytes.
    """
    tag, channels, rate, byte_rate, align = struct.unpack(order + "HHIIH", form[:14])
    bits = struct.unpack(order + "H", form[14:16])[0] if len(form) >= 16 else 0
    rest = form[16:]
    if tag == _EXTENSIBLE and len(rest) < 24:  # the format of the samples is missing
        tag, rest = _PCM, b""
    kind = struct.unpack(order + "H", rest[8:10])[0] if tag == _EXTENSIBLE else tag
    if kind not in _SAMPLES or channels < 1 or bits > 64:
        return form
    width = _width(kind, channels, rate, byte_rate, align, bits)
    if not width:
        return form
    if not bits or (kind == _PCM and width > -(-bits // 8)):
        bits = 8 * width
    if align != channels * width:
        align, byte_rate = channels * width, rate * channels * width
    if tag == _EXTENSIBLE:  # fewer valid bits fill the highest ones of a sample
        more = max(22, struct.unpack(order + "H", rest[:2])[0])
        rest = struct.pack(order + "HH", more, bits) + rest[4:]
    fields = (tag, channels, rate, byte_rate & 0xFFFFFFFF, align & 0xFFFF, bits)
    return struct.pack(order + "HHIIHH", *fields) + rest


def _width(kind: int, channels: int, rate: int, byte_rate: int, align: int, bits: int) -> int:
    """Return the bytes of one sample; 0 if unknown."""
    if kind in (_A_LAW, _MU_LAW):
        return 1
    stored = align // channels if align % channels == 0 else 0
    # Samples of 20 bits may be stored in 4 bytes; if so, the byte rate says the same.
    if -(-bits // 8) <= stored <= 8 and byte_rate == rate * align:
        return stored
    return -(-bits // 8)
