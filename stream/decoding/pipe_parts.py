"""The parts of a source that comes through a pipe, found while its bytes pass."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from stream.decoding.framing import read_adts, read_mpeg
from stream.decoding.joined_files import Found, find_audio
from stream.decoding.pcm_files import is_behind_audio, read_head

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDLESS = 1 << 62  # bytes
_BLOCK = 1 << 14  # bytes that are searched at once: a second of a web radio
_SKIP = 1 << 20  # bytes that may be read ahead without dropping those before them


class PipeWindow:
    """The bytes of a pipe that were read ahead and are not used up.

    Parameters
    ----------
    pipe : raw binary file object
        Read forward only, and not closed by this object.
    """

    def __init__(self, pipe: io.RawIOBase) -> None:
        self._pipe = pipe
        self._bytes = bytearray()
        self._base = 0  # position of the first of them
        self._at = 0

    def seek(self, at: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position that is not used up yet, without reading."""
        if whence != io.SEEK_SET or at < self._base:
            raise ValueError(f"a pipe cannot go back to byte {at}")
        self._at = at
        return at

    def read(self, size: int = -1, /) -> bytes:
        """Return `size` bytes, fewer at the end of the pipe."""
        end = self._at + size
        if self._at - self._base - len(self._bytes) > _SKIP:
            self.drop(self._at)
        while self._base + len(self._bytes) < end:
            more = self._pipe.read(max(end - self._base - len(self._bytes), 1 << 16))
            if not more:
                break
            self._bytes += more
        begin = self._at - self._base
        data = bytes(self._bytes[begin : begin + size])
        self._at += len(data)
        return data

    def drop(self, before: int) -> None:
        """Use up all bytes before a position."""
        n = min(before - self._base, len(self._bytes))
        del self._bytes[:n]
        self._base += n
        while self._base < before:
            more = self._pipe.read(min(before - self._base, 1 << 16))
            if not more:
                self._base = before
                return
            self._base += len(more)


class PipePart(io.RawIOBase):
    """One part of a pipe.

    Parameters
    ----------
    window : Window
        The pipe.
    found : iterator of Found
        The ranges that contain audio; this object consumes those of its part.
    first : Found
        The first range of the part.
    """

    def __init__(self, window: PipeWindow, found: Iterator[Found], first: Found) -> None:
        self.next: Found | None = None  # the first range of the next part
        self._window = window
        self._found = found
        self._at, self._end = first.start, first.end
        self._is_over = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end of the part."""
        while not self._is_over:
            if self._at < self._end:
                self._window.seek(self._at)
                data = self._window.read(min(size, self._end - self._at))
                self._at += len(data)
                self._window.drop(self._at)
                if data:
                    return data
            following = next(self._found, None)
            if following is None or following.begins:
                self.next, self._is_over = following, True
            else:
                self._at, self._end = following.start, following.end
        return b""

    def finish(self) -> None:
        """Skip the unread rest of the part."""
        while self.read(1 << 16):
            pass


class PipeWave(io.RawIOBase):
    """A WAV file through a pipe, whose header may be wrong.

    Bytes behind the stated end are audio unless they are a further chunk.

    Attributes
    ----------
    stated, there : int
        Bytes of audio by the header, and received; `stated` is 0 if it is left open.
    """

    def __init__(self, window: PipeWindow, header: bytes, start: int, stated: int) -> None:
        self.stated = stated
        self.there = 0
        self._window = window
        self._header = header
        self._start = start

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end of the audio."""
        if self._header:
            data, self._header = self._header[:size], self._header[size:]
            return data
        at = self._start + self.there
        if self.stated and self.there == self.stated:
            self._window.seek(at)
            if is_behind_audio(self._window.read(9)):
                return b""
            self.stated += 1 << 32  # it has wrapped, or is wrong
        left = self.stated - self.there if self.stated else size
        self._window.seek(at)
        data = self._window.read(min(size, left))
        self.there += len(data)
        self._window.drop(at + len(data))
        return data


def kind_of(head: bytes) -> str | None:
    """Return FFmpeg's name of the format, if files of it may be joined, else None."""
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"ID3") or read_mpeg(head):
        return "mp3"
    return "aac" if read_adts(head) else None


class PipeParts:
    """The parts of one pipe.

    Parameters
    ----------
    pipe : raw binary file object
        The pipe; closed with this object.

    Attributes
    ----------
    is_empty : bool
        Whether it ended without a byte; known after `first`.
    """

    def __init__(self, pipe: io.RawIOBase) -> None:
        self._pipe = pipe
        self._window = PipeWindow(pipe)
        self._wave: PipeWave | None = None
        self._part: PipePart | None = None
        self._found: Iterator[Found] = iter(())
        self.is_empty = False

    def first(self) -> BinaryIO:
        """Return the first part."""
        file = cast("BinaryIO", self._window)
        head = self._window.read(16)
        self.is_empty = not head
        if (wave := read_head(file)) is not None:
            self._wave = PipeWave(self._window, *wave)
            return cast("BinaryIO", self._wave)
        kind = kind_of(head)
        if kind is None:
            self._found = iter([Found(True, 0, _ENDLESS)])
        else:
            self._found = find_audio(file, _ENDLESS, kind, _BLOCK)
        return self._open(next(self._found, Found(True, 0, 0)))

    def next(self) -> BinaryIO | None:
        """Return the next part, None after the last."""
        if self._part is None:
            return None
        self._part.finish()
        return None if self._part.next is None else self._open(self._part.next)

    def promised(self) -> float:
        """Return the length stated in a WAV header over the length received; 0 if unknown."""
        wave = self._wave
        is_short = wave is not None and wave.there < wave.stated < 1 << 32
        return wave.stated / max(wave.there, 1) if wave is not None and is_short else 0.0

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()

    def _open(self, first: Found) -> BinaryIO:
        self._part = PipePart(self._window, self._found, first)
        return cast("BinaryIO", self._part)
