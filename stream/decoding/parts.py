"""What of a file FFmpeg is to read: the file itself, or mended and joined pieces of it."""

from __future__ import annotations

import io
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from stream.decoding.joined_files import JOINED, LYRICS, MAX_PARTS, find_parts, is_last_page_cut
from stream.decoding.pcm_files import read_sampled
from stream.decoding.pieces import Pieces
from stream.decoding.pipe import Pipe, kind_of
from stream.decoding.spool import MAX_SPOOL, Replay, held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.decoding.pcm_files import Sampled

_HEAD = 1 << 17  # bytes in which pages or tags are looked for


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
        URLs, and file objects that cannot seek or are remote, are not looked into.
    name : str
        What messages call it.
    max_spool : int > 0
        Bytes of a pipe that may be held on disk, where the format needs it.

    Attributes
    ----------
    is_one : bool
        Whether it is known that there is but one part.
    is_empty : bool
        Whether nothing came through a pipe.
    is_cut : bool
        Whether the file is known to end within a page.
    """

    def __init__(
        self, source: str | Path | BinaryIO, name: str, max_spool: int = MAX_SPOOL
    ) -> None:
        self.source = self._whole = source
        self.is_cut = False
        self._file: BinaryIO | None = None
        self._pipe: Pipe | None = None
        self._size = 0
        self._pieces: deque[Piece] = deque([Piece(source)])
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

    def next(self) -> Piece | None:
        """Return what to open next, None at the end."""
        if self._pieces:
            return self._pieces.popleft()
        following = None if self._pipe is None else self._pipe.next()
        return None if following is None else Piece(following)

    def look_for_joints(self, format_name: str) -> bool:
        """Look where a file of that format was joined, once it is known to be of one.

        Returns
        -------
        bool
            Whether it is to be read in parts, of which `next` returns the first.
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
        self._pieces.extend(Piece(self._view(part)) for part in parts)
        self.is_one = len(parts) == 1
        return True

    def look_behind_damage(self) -> bool:
        """Look for joints in a file whose beginning cannot be read.

        Returns
        -------
        bool
            Whether there are several parts, of which `next` returns the first.
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
        self._pieces.extend(Piece(self._view(part)) for part in parts)
        self.is_one = False
        return True

    def _has_lyrics(self, end: int) -> bool:
        """Return whether a tag that FFmpeg takes for audio is behind the audio's end."""
        assert self._file is not None
        at = self._file.tell()
        self._file.seek(end)
        behind = self._file.read(_HEAD)
        self._file.seek(at)
        return LYRICS in behind

    def promised(self, piece: Piece) -> float:
        """Return how many times the audio that was there the header promises; 0 if unknown."""
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
                found = held(path.open("rb", buffering=0), name, max_spool)
                if isinstance(found, Replay):
                    self._pipe = Pipe(found)
                    found = self._pipe.first()
                else:
                    self._file = self._whole = found
                self._pieces = deque([Piece(found)])
        except OSError:
            return  # which is said when it is opened again

    def _find_sampled(self) -> None:
        """Look whether the file is a header and samples, or several of them."""
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
            self._pieces.append(Piece(self._whole if is_whole else self._view(ranges), promised))

    def _view(self, pieces: Sequence[bytes | tuple[int, int]]) -> BinaryIO:
        assert self._file is not None
        return cast("BinaryIO", Pieces(self._file, pieces))
