"""Landmarks of audio that comes in pieces: memory grows with the landmarks, not with the audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.settings import EDGE, HOP

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECE = 3750 * HOP  # samples, 60 s: extracted at once


class Extraction:
    """Extract landmarks; the same as of the whole audio at once, to the last bit.

    Attributes
    ----------
    length : int
        Samples that have come.
    loudest : float
        Largest absolute value of them.
    """

    def __init__(self) -> None:
        self.length = 0
        self.loudest = 0.0
        self._audio = np.zeros(0, np.float32)  # from `_first` on, with EDGE before `_done`
        self._first = self._done = 0
        self._found: list[Landmarks] = []

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, mono audio at 16 kHz."""
        if not len(samples):
            return
        self.length += len(samples)
        self.loudest = float(np.fmax.reduce(np.abs(samples), initial=self.loudest))
        self._audio = np.concatenate([self._audio, samples])
        while self.length - self._done >= _PIECE + EDGE:
            self._extract(self._done + _PIECE)

    def finish(self) -> Landmarks:
        """Return the landmarks of all that has come."""
        self._extract(self.length)
        return Landmarks.join(self._found)

    def _extract(self, to: int) -> None:
        """Find the landmarks up to a sample, which is EDGE before the end or the end itself."""
        end = min(to + EDGE, self.length) - self._first
        found = extract(self._audio[:end]).shift(self._first)
        # A landmark may lie half a frame outside the audio.
        low = self._done if self._done else -HOP
        self._found.append(found.between(low, to if to < self.length else to + HOP))
        self._done, first = to, max(to - EDGE, 0)
        self._audio, self._first = self._audio[first - self._first :], first
