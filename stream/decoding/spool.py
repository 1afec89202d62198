"""Files that come through a pipe, which cannot be searched.

Most formats are read from their beginning to their end. MP4 and its relatives say at their end
where their audio is, unless they were written for streaming, and so do CAF files of compressed
audio. The boxes at the beginning tell which: such a file is first written to a temporary one.
"""

from __future__ import annotations

import io
import tempfile
from typing import BinaryIO, NamedTuple, cast

from airsift.errors import SourceError

_BLOCK = 1 << 20
_MAX_HEAD = 16 << 20  # bytes that are looked at before the audio
# Boxes that an MP4 or QuickTime file begins with, or has before its audio.
_BEGIN = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx"}
_STREAMED = {b"moov", b"moof"}
_CAF_PACKETS_AT = 16  # of its description: bytes in a packet, 0 where packets are not all alike


class PeekablePipe(io.RawIOBase):
    """A pipe whose beginning can be inspected before it is read.

    Parameters
    ----------
    file : raw binary file object
        The pipe; closed with this object.
    """

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self._head = bytearray()
        self._at = 0  # bytes of `_head` that were read

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        if self._at < len(self._head):
            data = bytes(self._head[self._at : self._at + size])
            self._at += len(data)
            return data
        return self._file.read(size) or b""

    def peek(self, start: int, size: int) -> bytes:
        """Return bytes from `start` of the file without reading them; fewer at its end."""
        while len(self._head) < start + size and (data := self._file.read(_BLOCK)):
            self._head += data
        return bytes(self._head[start : start + size])

    def close(self) -> None:
        """Close the pipe."""
        self._file.close()
        super().close()


def spool_if_needed(file: io.RawIOBase, name: str, max_spool: int) -> BinaryIO | PeekablePipe:
    """Write a pipe to a temporary file if its format needs one; return that file, or the pipe.

    Parameters
    ----------
    file : raw binary file object
        The pipe. The returned object closes it, or has closed it.
    name : str
        Its name in messages.
    max_spool : int > 0
        Maximum size of the temporary file in bytes.

    Raises
    ------
    SourceError
        The file has its index at its end, and is larger than `max_spool` or the free disk space.
    """
    pipe = PeekablePipe(file)
    try:
        form = _needs_its_end(pipe)
        if not form:
            return pipe
        spooled = _spool(pipe, form, name, max_spool)
    except BaseException:
        pipe.close()
        raise
    pipe.close()
    return spooled


class _Box(NamedTuple):
    name: bytes
    start: int  # of what is in it
    end: int


def _needs_its_end(pipe: PeekablePipe) -> str:
    """Return the format if its index is at its end, else ""."""
    head = pipe.peek(0, 8)
    if head[:4] == b"caff":
        return "CAF" if _is_caf_without_table(pipe) else ""
    if head[4:8] not in _BEGIN:
        return ""
    at = 0
    while at < _MAX_HEAD:
        box = _mp4_box(pipe, at)
        if box is None or box.name in _STREAMED:
            return ""
        if box.name == b"mdat":
            return "MP4"
        at = box.end
    return "MP4"


def _mp4_box(pipe: PeekablePipe, at: int) -> _Box | None:
    """Return the box at `at`; None if there is none, or one that lasts to the end."""
    head = pipe.peek(at, 16)
    size, start = int.from_bytes(head[:4], "big"), at + 8
    if size == 1:
        size, start = int.from_bytes(head[8:16], "big"), at + 16
    name = head[4:8]
    if len(head) < 8 or (name != b"mdat" and at + size < start):
        return None
    return _Box(name, start, at + size)


def _is_caf_without_table(pipe: PeekablePipe) -> bool:
    """Return whether the table of packet lengths of a CAF file follows its audio."""
    at, varies = 8, False
    while at < _MAX_HEAD and len(head := pipe.peek(at, 12)) == 12:
        name, size = head[:4], int.from_bytes(head[4:], "big", signed=True)
        if name == b"desc":
            packet = pipe.peek(at + 12 + _CAF_PACKETS_AT, 4)
            varies = packet == bytes(4)
        if name == b"pakt" or size < 0:
            return False
        if name == b"data":
            return varies
        at += 12 + size
    return False


def _spool(pipe: PeekablePipe, form: str, name: str, max_spool: int) -> BinaryIO:
    why = f"this {form} file has its index at its end, a pipe cannot be searched"
    spooled = cast("BinaryIO", tempfile.TemporaryFile(prefix="airsift-"))  # noqa: SIM115
    try:
        length = 0
        while data := pipe.read(_BLOCK):
            length += len(data)
            if length > max_spool:
                raise SourceError(
                    f"{name}: {why}, and it is longer than file.max_spool_bytes={max_spool}; name "
                    "the file itself, write it with its index in front (ffmpeg -movflags "
                    "+faststart), or raise the limit"
                )
            spooled.write(data)
        spooled.seek(0)
    except OSError as error:
        spooled.close()
        raise SourceError(
            f"{name}: {why}, and there is no room for it in {tempfile.gettempdir()} "
            f"({error.strerror}); name the file itself, or set TMPDIR to where there is room"
        ) from error
    except BaseException:
        spooled.close()
        raise
    return spooled
