"""The parts of a source, each of which FFmpeg opens as a file of its own.

A sound file is one part. A file that was joined from several has one part each, and a file whose
header is wrong is read through a corrected one.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from stream.decoding.joined_files import JOINED, MAX_PARTS, find_parts, is_last_page_cut
from stream.decoding.pcm_files import read_sampled
from stream.decoding.pipe_parts import PipeParts, kind_of
from stream.decoding.spool import PeekablePipe, spool_if_needed
from stream.decoding.tags import LYRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.decoding.pcm_files import Sampled

_HEAD = 1 << 17  # bytes in which pages or tags are looked for


class FilePart(NamedTuple):
    """One part.

    Parameters
    ----------
    source : path, URL or binary file object
        What to open.
    promised : float
        Length stated in the header over the length in the file; 0 if unknown.
    """

    source: str | Path | BinaryIO
    promised: float = 0.0


class FileParts:
    """Finds the parts of a path, URL or file object; opens none.

    Parameters
    ----------
    source : path, URL or binary file object
        URLs, and file objects that are remote or cannot seek, are one part.
    name : str
        Its name in messages.
    max_spool : int >= 0
        Bytes of a pipe that may be stored on disk, if the format requires it.

    Attributes
    ----------
    is_one : bool
        Whether there is known to be only one part.
    is_empty : bool
        Whether a pipe ended without a byte.
    is_cut : bool
        Whether an Ogg file ends within a page.
    """

    def __init__(self, source: str | Path | BinaryIO, name: str, max_spool: int) -> None:
        self.source = self._whole = source
        self.is_cut = False
        self._file: BinaryIO | None = None
        self._pipe: PipeParts | None = None
        self._size = 0
        self._pieces: deque[FilePart] = deque([FilePart(source)])
        if not isinstance(source, str | Path):
            remote = getattr(source, "is_remote", False)
            self._file = source if source.seekable() and not remote else None
        elif "://" not in str(source):
            self._open(Path(source), name, max_spool)
        if self._file is not None:
            at = self._file.tell()
            self._size = self._file.seek(0, io.SEEK_END)
            self._find_sampled()
            self._file.seek(at)
        self.is_empty = self._pipe is not None and self._pipe.is_empty
        self.is_one = self._pipe is None and len(self._pieces) == 1

    def next(self) -> FilePart | None:
        """Return the next part, None at the end."""
        if self._pieces:
            return self._pieces.popleft()
        following = None if self._pipe is None else self._pipe.next()
        return None if following is None else FilePart(following)

    def look_for_joints(self, format_name: str) -> bool:
        """Search a file of this format for the places where it was joined.

        Returns
        -------
        bool
            Whether it must be read in parts; `next` then returns the first.
        """
        if self._file is None or not self.is_one or format_name not in JOINED:
            return False
        at = self._file.tell()
        parts = find_parts(self._file, self._size, format_name)
        self._file.seek(0)
        has_tag = self._file.read(3) == b"ID3"
        self.is_cut = format_name == "ogg" and is_last_page_cut(self._file, self._size)
        self._file.seek(at)  # FFmpeg may be reading a file object
        start, end = parts[0][0]
        is_whole = len(parts) == 1 and len(parts[0]) == 1 and (has_tag or start == 0)
        if is_whole and not self._has_lyrics(end):
            return False
        self._pieces.extend(FilePart(self._view(part)) for part in parts)
        self.is_one = len(parts) == 1
        return True

    def look_behind_damage(self) -> bool:
        """Search a file whose beginning cannot be read for further parts.

        Returns
        -------
        bool
            Whether there are several parts; `next` then returns the first.
        """
        if self._file is None or not self.is_one:
            return False
        self._file.seek(0)
        head = self._file.read(_HEAD)
        kind = "ogg" if b"OggS\0" in head else kind_of(head[:16])
        parts = [] if kind is None else find_parts(self._file, self._size, kind)
        if len(parts) < 2:
            return False
        self.is_cut = kind == "ogg" and is_last_page_cut(self._file, self._size)
        self._pieces.extend(FilePart(self._view(part)) for part in parts)
        self.is_one = False
        return True

    def _has_lyrics(self, end: int) -> bool:
        """Return whether a tag that FFmpeg would decode as audio follows the audio."""
        assert self._file is not None
        at = self._file.tell()
        self._file.seek(end)
        behind = self._file.read(_HEAD)
        self._file.seek(at)
        return LYRICS in behind

    def promised(self, piece: FilePart) -> float:
        """Return `FilePart.promised`, for a pipe as known at its end."""
        return self._pipe.promised() if self._pipe is not None else piece.promised

    def close(self) -> None:
        """Close what was opened here."""
        if self._file is not None and self._file is not self.source:
            self._file.close()
        if self._pipe is not None:
            self._pipe.close()

    def _open(self, path: Path, name: str, max_spool: int) -> None:
        try:
            if path.is_file():
                self._file = path.open("rb", buffering=1 << 16)
            elif path.is_fifo() or path.is_char_device() or path.is_socket():
                found = spool_if_needed(path.open("rb", buffering=0), name, max_spool)
                if isinstance(found, PeekablePipe):
                    self._pipe = PipeParts(found)
                    found = self._pipe.first()
                else:
                    self._file = self._whole = found
                self._pieces = deque([FilePart(found)])
        except OSError:
            return  # opening it later raises the error

    def _find_sampled(self) -> None:
        """Search for files of a header and samples."""
        assert self._file is not None
        at = 0
        found: list[tuple[int, Sampled]] = []
        while at < self._size and len(found) < MAX_PARTS:
            part = read_sampled(self._file, at, self._size)
            if part is None:
                break
            found.append((at, part))
            at = part.end
        if found:
            self._pieces.clear()
        for at, part in found:
            promised = part.stated / part.there if part.there > 0 else 0.0
            is_whole = not part.pieces and len(found) == 1
            ranges = part.pieces or [(at, part.end)]
            self._pieces.append(FilePart(self._whole if is_whole else self._view(ranges), promised))

    def _view(self, pieces: Sequence[bytes | tuple[int, int]]) -> BinaryIO:
        assert self._file is not None
        return cast("BinaryIO", SplicedFile(self._file, pieces))


class SplicedFile(io.RawIOBase):
    """Ranges of a file, and bytes between them, as one file: FFmpeg reads it in place of the file.

    Parameters
    ----------
    file : binary file object
        Seekable; not closed with this object.
    pieces : sequence of bytes or (int, int)
        Bytes, and ranges [start, end) of `file`.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | tuple[int, int]]) -> None:
        self._file = file
        self._pieces = [piece for piece in pieces if _length(piece)]
        self._ends = list(accumulate(_length(piece) for piece in self._pieces))
        self._at = 0

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._ends[-1] if self._ends else 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, and return the new position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, fewer only at the end of a piece."""
        i = bisect_right(self._ends, self._at)
        if i == len(self._pieces):
            return b""
        piece = self._pieces[i]
        done = self._at - (self._ends[i] - _length(piece))
        n = self._ends[i] - self._at
        n = n if size < 0 else min(n, size)
        if isinstance(piece, bytes):
            data = piece[done : done + n]
        else:
            self._file.seek(piece[0] + done)
            data = self._file.read(n)
        self._at += len(data)
        return data


def _length(piece: bytes | tuple[int, int]) -> int:
    return len(piece) if isinstance(piece, bytes) else max(piece[1] - piece[0], 0)
