"""What of a file FFmpeg is to read: the file itself, or mended and joined pieces of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from stream.sources.joints import find_parts
from stream.sources.pieces import Pieces
from stream.sources.sampled import read_sampled

if TYPE_CHECKING:
    from collections.abc import Sequence

JOINED = frozenset({"ogg", "flac", "mp3", "aac"})  # FFmpeg's names of formats that are looked into


class Piece(NamedTuple):
    """Something to open.

    Parameters
    ----------
    source : path, URL or binary file object
        What to open.
    promised : float
        How many times the audio that is there the header promises; 0 where nobody knows.
    """

    source: str | Path | BinaryIO
    promised: float = 0.0


class Parts:
    """The parts of a path, URL or file object, none of which is opened yet.

    Parameters
    ----------
    source : path, URL or binary file object
        Only regular files and file objects that can seek are looked into.
    """

    def __init__(self, source: str | Path | BinaryIO) -> None:
        self.source = source
        self._file = _seekable(source)
        self._is_own = self._file is not source
        self._size = 0
        if self._file is not None:
            at = self._file.tell()
            self._size = self._file.seek(0, io.SEEK_END)
            self._file.seek(at)

    def sampled(self) -> list[Piece]:
        """Return the parts of a file that is a header and samples, the file itself for others."""
        if self._file is None:
            return [Piece(self.source)]
        begin, at, found = self._file.tell(), 0, []
        while at < self._size and (part := read_sampled(self._file, at, self._size)) is not None:
            found.append((at, part))
            at = part.end
        self._file.seek(begin)
        if not found:
            return [Piece(self.source)]
        pieces = []
        for at, part in found:
            promised = part.stated / part.there if part.there > 0 else 0.0
            whole = not part.pieces and len(found) == 1
            ranges = part.pieces or [(at, part.end)]
            pieces.append(Piece(self.source if whole else self._view(ranges), promised))
        return pieces

    def joined(self, format_name: str) -> list[Piece]:
        """Return the parts of a file of that format; an empty list where it is best read whole."""
        if self._file is None or format_name not in JOINED:
            return []
        at = self._file.tell()
        parts = find_parts(self._file, self._size, format_name)
        self._file.seek(0)
        has_tag = self._file.read(3) == b"ID3"
        self._file.seek(at)  # FFmpeg may be reading a file object
        if len(parts) == 1 and len(parts[0]) == 1 and (has_tag or parts[0][0][0] == 0):
            return []
        return [Piece(self._view(part)) for part in parts]

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._file is not None and self._is_own:
            self._file.close()

    def _view(self, pieces: Sequence[bytes | tuple[int, int]]) -> BinaryIO:
        assert self._file is not None
        return cast("BinaryIO", Pieces(self._file, pieces))


def _seekable(source: str | Path | BinaryIO) -> BinaryIO | None:
    if not isinstance(source, str | Path):
        return source if source.seekable() else None
    if "://" in str(source) or not Path(source).is_file():
        return None
    try:
        return Path(source).open("rb", buffering=1 << 16)
    except OSError:
        return None  # which is said when it is opened
