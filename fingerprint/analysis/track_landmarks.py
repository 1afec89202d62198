"""What a catalogue takes in: audio that is long and loud enough, as landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint import settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.analysis.landmarks import Landmarks

# The loudest sample of a track must be above this (-80 dB), or there is nothing to hear.
_SILENCE = 1e-4


def analyse(pieces: Iterable[NDArray[np.float32]], name: str) -> Landmarks:
    """Return the landmarks of a track; the expensive part of adding one, and needs no lock.

    Parameters
    ----------
    pieces : iterable of np.ndarray [shape=(n,), float32]
        Mono audio at 16 kHz, in pieces that follow one another.
    name : str
        What messages call it.

    Raises
    ------
    CatalogueError
        If it is under 3 s, silent, or has nothing to find it by.
    """
    from fingerprint.analysis.piecewise import (
        Extraction,  # brings scipy: a reader of lists can spare it
    )

    extraction = Extraction()
    for piece in pieces:
        extraction.push(piece)
    duration_s = extraction.length / settings.SAMPLE_RATE
    if duration_s < settings.MIN_TRACK_S:
        raise CatalogueError(
            f"{name}: lasts {duration_s:.1f} s, a track needs at least "
            f"{settings.MIN_TRACK_S:g} s to be told from others; leave it out"
        )
    if not extraction.loudest > _SILENCE:
        raise CatalogueError(
            f"{name}: its loudest sample is {extraction.loudest:.1e} of full scale, so it is "
            "silent; check the file"
        )
    landmarks = extraction.finish()
    if not len(landmarks):
        raise CatalogueError(
            f"{name}: has no peaks to find it by (a constant or a click?); check the file"
        )
    return landmarks
