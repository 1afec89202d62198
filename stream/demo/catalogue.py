"""The demo's catalogue of tracks, made anew each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fingerprint.catalogue import Catalogue
from fingerprint.settings import SAMPLE_RATE
from fingerprint.track import Track
from stream.demo.clips import RATE, decode, parts
from stream.resampler import Resampler

if TYPE_CHECKING:
    from pathlib import Path


def build_catalogue(folder: Path) -> list[Track]:
    """Make a catalogue of the tracks that the demo is meant to know; return them.

    Parameters
    ----------
    folder : Path
        Where it is made; `Catalogue.open` opens it.
    """
    catalogue = Catalogue.create(folder)
    try:
        for part in parts().values():
            if part.catalogued:
                samples = Resampler(RATE, SAMPLE_RATE).push(decode(part), last=True)
                catalogue.add(samples, Track(part.name, part.title, part.artist))
        return catalogue.tracks()
    finally:
        catalogue.close()
