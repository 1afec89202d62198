"""The spectrum of a live stream: each column is computed once.

Landmarks depend on the audio 1.2 s around them, so pieces of a stream overlap by 2.4 s::

    piece 1    ├─ EDGE ─┼──── landmarks ────┼─ EDGE ─┤
    piece 2                        ├─ EDGE ─┼── landmarks ──┼─ EDGE ─┤
    columns    ├───────── once ─────────────────────┼── new ─────────┤
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fingerprint.analysis.spectrum import log_columns
from fingerprint.settings import HOP, N_BINS, TAPER

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LiveSpectrum:
    """The spectrum of audio that comes piece by piece: each column is computed once.

    A column is kept from the time when all its audio has come until no piece needs it any more.
    """

    def __init__(self) -> None:
        self._first = 0  # frame of the first row
        self._rows = np.empty((0, N_BINS), np.float32)

    def of(self, samples: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        """Return the columns of a piece of the audio.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            Mono audio at 16 kHz, in an array of its own or not; it is not changed.
        start : int
            Sample of the audio at which they begin, a multiple of HOP. A piece may overlap those
            before it; what lies before it is forgotten.

        Returns
        -------
        np.ndarray [shape=(1 + n // HOP, N_BINS), float32]
            As :func:`log_spectrum` of the piece, but for the first columns, which also see audio
            before it, if that has come.
        """
        first = start // HOP
        columns = 1 + len(samples) // HOP
        known = self._rows[max(first - self._first, 0) :]
        if not self._first <= first <= self._first + len(self._rows):
            known = self._rows[:0]
        known = known[:columns]
        new = log_columns(samples, len(known), columns)
        spectrum = np.concatenate([known, new]) if len(known) else new
        # Later audio does not change a column that lies in what has come.
        whole = max((len(samples) - TAPER // 2) // HOP + 1, len(known))
        # Columns at the beginning are those of silence before it, as long as nothing else is known.
        self._first, self._rows = first, spectrum[:whole].copy()
        return spectrum

    def forget_before(self, sample: int) -> None:
        """Forget the columns before a sample: no later piece begins there."""
        gone = sample // HOP - self._first
        if gone > 0:
            self._first, self._rows = self._first + gone, self._rows[gone:].copy()
