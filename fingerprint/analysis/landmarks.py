"""Landmarks: the peaks of a spectrum that identify a piece of music, as plain arrays."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.settings import HOP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_GRID = HOP // 8  # samples; extracted times lie on this grid, an eighth of a frame
_MAX_PACKED = 1_000_000  # landmarks in a text; half a minute of music has 3 000
_MAX_SAMPLE = 2**60
_PACKED = ("<i4", "<i2", "<i2")  # steps in time, eighths of bins, ranks


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Peaks of a stretch of audio, in order of time and then of bin.

    Extraction is expensive, so a stream extracts each piece of audio once, shifts the result to
    its place and joins it with the landmarks before.

    Parameters
    ----------
    time : np.ndarray [shape=(n,), int64]
        Samples at 16 kHz, finer than the frames of the index.
    bin : np.ndarray [shape=(n,), float32]
        Frequency in bins above `F_MIN_HZ`, to an eighth of a bin.
    rank : np.ndarray [shape=(n,), int16]
        Number of stronger peaks in the neighbourhood: 0 is the strongest.
    start, end : int
        The stretch of audio, in samples at 16 kHz, half-open.
    """

    time: NDArray[np.int64]
    bin: NDArray[np.float32]
    rank: NDArray[np.int16]
    start: int
    end: int

    def __len__(self) -> int:
        return len(self.time)

    def shift(self, samples: int) -> Landmarks:
        """Return the same landmarks `samples` later."""
        return Landmarks(
            self.time + samples, self.bin, self.rank, self.start + samples, self.end + samples
        )

    def between(self, start: int, end: int) -> Landmarks:
        """Return the landmarks in [start, end), in samples."""
        a, b = np.searchsorted(self.time, (start, end))
        return Landmarks(
            self.time[a:b],
            self.bin[a:b],
            self.rank[a:b],
            max(start, self.start),
            min(end, self.end),
        )

    def strongest(self, rank: int) -> Landmarks:
        """Return the landmarks with a rank below `rank`."""
        keep = self.rank < rank
        return Landmarks(self.time[keep], self.bin[keep], self.rank[keep], self.start, self.end)

    def pack(self) -> str:
        """Return the landmarks as text for a snapshot, about 4.5 characters each."""
        grid = _GRID if not (self.time % _GRID).any() else 1
        head = json.dumps([self.start, self.end, len(self), grid]).encode()
        steps = np.diff(self.time // grid, prepend=self.start // grid)
        arrays = (steps, np.rint(self.bin * 8), self.rank)
        data = (a.astype(dtype).tobytes() for a, dtype in zip(arrays, _PACKED, strict=True))
        body = zlib.compress(b"".join(data), level=9)
        return base64.b64encode(head + b"\n" + body).decode("ascii")

    @staticmethod
    def unpack(text: str) -> Landmarks:
        """Return the landmarks of a text: the inverse of :meth:`pack`.

        Raises
        ------
        ValueError
            The text was not written by `pack`.
        """
        try:
            head, _, packed = base64.b64decode(text, validate=True).partition(b"\n")
            start, end, n, grid = _parse_head(head)
            unzip = zlib.decompressobj()
            body = unzip.decompress(packed, 8 * n + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"no landmarks: {error}") from error
        if len(body) != 8 * n or not unzip.eof:
            raise ValueError(f"no landmarks: {n} of them are not what follows")
        steps, eighths, rank = (
            np.frombuffer(body, dtype, n, offset * n)
            for dtype, offset in zip(_PACKED, (0, 4, 6), strict=True)
        )
        if (steps[1:] < 0).any():
            raise ValueError("no landmarks: their times are not in order")
        time = (start // grid + np.cumsum(steps, dtype=np.int64)) * grid
        bin_ = eighths.astype(np.float32) / np.float32(8)
        return Landmarks(time, bin_, rank.astype(np.int16), start, end)

    @staticmethod
    def none(at: int = 0) -> Landmarks:
        """Return the landmarks of an empty stretch at sample `at`."""
        return Landmarks(
            np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int16), at, at
        )

    @staticmethod
    def join(parts: Iterable[Landmarks]) -> Landmarks:
        """Return the landmarks of several stretches as one.

        Where stretches overlap, the earlier one is used up to its end.
        """
        joined: list[Landmarks] = []
        for part in sorted(parts, key=lambda part: part.start):
            if joined and part.start < joined[-1].end:
                part = part.between(joined[-1].end, max(part.end, joined[-1].end))
            joined.append(part)
        if not joined:
            return Landmarks.none()
        return Landmarks(
            np.concatenate([part.time for part in joined]),
            np.concatenate([part.bin for part in joined]),
            np.concatenate([part.rank for part in joined]),
            joined[0].start,
            joined[-1].end,
        )


def _parse_head(head: bytes) -> tuple[int, int, int, int]:
    """Return start, end, count and grid of packed landmarks."""
    if len(head) > 100:
        raise ValueError("its head is too long")
    fields = json.loads(head)
    if not (isinstance(fields, list) and len(fields) == 4 and all(type(x) is int for x in fields)):
        raise ValueError("its head is not four whole numbers")
    start, end, n, grid = fields
    in_range = max(abs(start), abs(end)) <= _MAX_SAMPLE
    if not (in_range and 0 <= n <= _MAX_PACKED and 1 <= grid <= _GRID):
        raise ValueError("a number of its head is out of range")
    return start, end, n, grid
