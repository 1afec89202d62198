"""Pieces of a file, and bytes of our own between them, as one file."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pieces(io.RawIOBase):
    """A file made of others' bytes: what FFmpeg reads in place of a damaged or joined one.

    Parameters
    ----------
    file : binary file object
        Seekable. It is not closed with this one.
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
