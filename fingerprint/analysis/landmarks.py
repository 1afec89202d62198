"""Landmarks: the peaks of a spectrum, as plain arrays."""

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

# Samples: times are found on this grid, an eighth of a frame.
_GRID = HOP // 8
_MAX_PACKED = 1_000_000  # landmarks in a text; half a minute of music has 3 000
_MAX_SAMPLE = 2**60


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Peaks of a stretch of audio, in order of time and then of bin.

    Extracting is the expensive part, so a stream extracts each piece of audio once, shifts the
    result to its place and joins it with what it has: the matcher's evidence grows with the
    segment.

    Parameters
    ----------
    time : np.ndarray [shape=(n,), int64]
        Where each peak is, in samples at 16 kHz, finer than the frames of the index.
    bin : np.ndarray [shape=(n,), float32]
        Frequency in bins above `F_MIN_HZ`, to an eighth of a bin.
    rank : np.ndarray [shape=(n,), int16]
        How many stronger peaks its neighbourhood has: 0 is the strongest around.
    start, end : int
        The stretch they were taken from, in samples at 16 kHz, half-open.
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
        """Return the landmarks that have fewer than `rank` stronger neighbours."""
        keep = self.rank < rank
        return Landmarks(self.time[keep], self.bin[keep], self.rank[keep], self.start, self.end)

    def pack(self) -> str:
        """Return the landmarks as text, for a snapshot: about 4 characters for each."""
        grid = _GRID if not (self.time % _GRID).any() else 1
        head = json.dumps([self.start, self.end, len(self), grid]).encode()
        steps = np.diff(self.time // grid, prepend=0)
        arrays = (steps.astype("<i8"), np.rint(self.bin * 8).astype("<i2"), self.rank.astype("<i2"))
        # The lowest bytes of all values first, then the next: most of the upper ones are zeros.
        planes = (array.view(np.uint8).reshape(-1, array.itemsize).T for array in arrays)
        body = zlib.compress(b"".join(plane.tobytes() for plane in planes), level=9)
        return base64.b64encode(head + b"\n" + body).decode("ascii")

    @staticmethod
    def unpack(text: str) -> Landmarks:
        """Return the landmarks of a text: the inverse of :meth:`pack`.

        Raises
        ------
        ValueError
            It is no such text.
        """
        try:
            head, _, packed = base64.b64decode(text, validate=True).partition(b"\n")
            start, end, n, grid = _numbers(head)
            unzip = zlib.decompressobj()
            body = unzip.decompress(packed, 12 * n + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"no landmarks: {error}") from error
        if len(body) != 12 * n or not unzip.eof:
            raise ValueError(f"no landmarks: {n} of them are not what follows")
        parts = np.split(np.frombuffer(body, np.uint8), [8 * n, 10 * n])
        steps, bin_, rank = (
            np.ascontiguousarray(part.reshape(size, n).T).view(f"<i{size}").ravel()
            for part, size in zip(parts, (8, 2, 2), strict=True)
        )
        # The first step is that from 0. Floats have no limit that a sum could pass unnoticed.
        lengths = np.abs(steps.astype(np.float64))
        if (steps[1:] < 0).any() or lengths.sum() * grid > _MAX_SAMPLE:
            raise ValueError("no landmarks: their times are not in order, or out of range")
        time = np.cumsum(steps).astype(np.int64) * grid
        eighths = bin_.astype(np.float32) / np.float32(8)
        return Landmarks(time, eighths, rank.astype(np.int16), start, end)

    @staticmethod
    def none(at: int = 0) -> Landmarks:
        """Return the landmarks of no audio at all, which begins and ends at `at`."""
        return Landmarks(
            np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int16), at, at
        )

    @staticmethod
    def join(parts: Iterable[Landmarks]) -> Landmarks:
        """Return the landmarks of several stretches as one; nothing is joined to nothing.

        Where stretches overlap, the earlier part is believed up to its end.
        """
        kept: list[Landmarks] = []
        for part in sorted(parts, key=lambda part: part.start):
            if kept and part.start < kept[-1].end:
                part = part.between(kept[-1].end, max(part.end, kept[-1].end))
            kept.append(part)
        if not kept:
            return Landmarks.none()
        return Landmarks(
            np.concatenate([part.time for part in kept]),
            np.concatenate([part.bin for part in kept]),
            np.concatenate([part.rank for part in kept]),
            kept[0].start,
            kept[-1].end,
        )


def _numbers(head: bytes) -> tuple[int, int, int, int]:
    """Return start, end, number and grid of packed landmarks."""
    if len(head) > 100:
        raise ValueError("its head is too long")
    told = json.loads(head)
    if not (isinstance(told, list) and len(told) == 4 and all(type(x) is int for x in told)):
        raise ValueError("its head is not four whole numbers")
    start, end, n, grid = told
    in_range = max(abs(start), abs(end)) <= _MAX_SAMPLE
    if not (in_range and 0 <= n <= _MAX_PACKED and 1 <= grid <= _GRID):
        raise ValueError("a number of its head is out of range")
    return start, end, n, grid
