"""Landmarks of whole tracks: audio comes in pieces, so memory grows with the landmarks only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import CatalogueError
from fingerprint import settings
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.settings import EDGE, HOP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_PIECE = 3750 * HOP  # samples, 60 s: extracted at once
_SILENCE = 1e-4  # -80 dB; a track whose loudest sample is below has nothing to match


class LandmarkExtractor:
    """Extracts landmarks piece by piece, bit-identical to those of the whole audio at once.

    Attributes
    ----------
    length : int
        Samples received.
    loudest : float
        Their largest absolute value.
    """

    def __init__(self) -> None:
        self.length = 0
        self.loudest = 0.0
        self._audio = np.zeros(0, np.float32)  # from `_first` on, with EDGE before `_done`
        self._first = self._done = 0
        self._found: list[Landmarks] = []

    def push(self, samples: NDArray[np.float32]) -> None:
        """Add the next samples, mono audio at 16 kHz."""
        if not len(samples):
            return
        self.length += len(samples)
        self.loudest = float(np.fmax.reduce(np.abs(samples), initial=self.loudest))
        self._audio = np.concatenate([self._audio, samples])
        while self.length - self._done >= _PIECE + EDGE:
            self._extract(self._done + _PIECE)

    def finish(self) -> Landmarks:
        """Return the landmarks of all samples."""
        self._extract(self.length)
        return Landmarks.join(self._found)

    def _extract(self, to: int) -> None:
        """Extract the landmarks up to a sample, which is the end or at least EDGE before it."""
        end = min(to + EDGE, self.length) - self._first
        found = extract(self._audio[:end]).shift(self._first)
        # A landmark may lie half a frame outside the audio.
        low = self._done if self._done else -HOP
        self._found.append(found.between(low, to if to < self.length else to + HOP))
        self._done, first = to, max(to - EDGE, 0)
        self._audio, self._first = self._audio[first - self._first :], first


def analyse(pieces: Iterable[NDArray[np.float32]], name: str) -> Landmarks:
    """Return the landmarks of a new track: the expensive part of adding it, without a lock.

    Parameters
    ----------
    pieces : iterable of np.ndarray [shape=(n,), float32]
        Consecutive mono audio at 16 kHz.
    name : str
        The track, for messages.

    Raises
    ------
    CatalogueError
        The track is under 3 s, silent, or has no landmarks.
    """
    extractor = LandmarkExtractor()
    for piece in pieces:
        extractor.push(piece)
    duration_s = extractor.length / settings.SAMPLE_RATE
    if duration_s < settings.MIN_TRACK_S:
        raise CatalogueError(
            f"{name}: lasts {duration_s:.1f} s, a track needs at least "
            f"{settings.MIN_TRACK_S:g} s to be distinguished from others; leave it out"
        )
    if not extractor.loudest > _SILENCE:
        raise CatalogueError(
            f"{name}: its loudest sample is {extractor.loudest:.1e} of full scale, so it is "
            "silent; check the file"
        )
    landmarks = extractor.finish()
    if not len(landmarks):
        raise CatalogueError(
            f"{name}: has no peaks to find it by (a constant or a click?); check the file"
        )
    return landmarks
