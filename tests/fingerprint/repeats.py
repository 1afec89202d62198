"""Peaks of made stations: random ones, and copies of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.repeats.finder import Found, RepeatFinder
from fingerprint.repeats.store import Store
from fingerprint.settings import HOP, N_BINS

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 62.5  # frames


class Air:
    """The peaks of a station, 30 a second: random, with pieces put in."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.frames = round(seconds * SECOND)
        self.frame, self.bin, self.rank = self.piece(seconds)

    def piece(self, seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return new peaks: frames, bins and ranks."""
        n = round(30 * seconds)
        frame = np.sort(self.random.integers(0, round(seconds * SECOND), n))
        return frame, self.random.integers(0, N_BINS, n), self.random.integers(0, 7, n)

    def put(
        self, at_s: float, piece: tuple[np.ndarray, np.ndarray, np.ndarray], kept: float = 0.7
    ) -> None:
        """Put a piece at a time, without a part of its peaks and among others."""
        frame, bin_, rank = piece
        keep = self.random.random(len(frame)) < kept
        start, length = round(at_s * SECOND), int(frame.max()) + 1
        away = (self.frame < start) | (self.frame >= start + length)
        away |= self.random.random(len(self.frame)) < 1 - kept
        frame = np.concatenate([self.frame[away], frame[keep] + start])
        bin_ = np.concatenate([self.bin[away], bin_[keep]])
        rank = np.concatenate([self.rank[away], rank[keep]])
        order = np.lexsort((bin_, frame))
        self.frame, self.bin, self.rank = frame[order], bin_[order], rank[order]

    def landmarks(self, first: int = 0, last: int | None = None) -> Landmarks:
        """Return the peaks between two frames."""
        last = self.frames if last is None else last
        all_ = Landmarks(
            self.frame * HOP, self.bin.astype(np.float32), self.rank.astype(np.int16), 0,
            self.frames * HOP,
        )  # fmt: skip
        return all_.between(first * HOP, last * HOP)


def search(folder: Path, air: Air, cuts: list[int]) -> tuple[RepeatFinder, list[Found]]:
    """Return the finder of a station whose peaks come in pieces that end at `cuts`."""
    finder = RepeatFinder("a", Store(folder), 0, 7)
    found: list[Found] = []
    first = 0
    for last in [*sorted(cuts), air.frames]:
        if last > first:
            found += finder.add(air.landmarks(first, last))
            first = last
    return finder, found + finder.finish()
