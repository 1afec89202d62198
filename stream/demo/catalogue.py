"""The demo's catalogue of tracks, built on each run."""

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
    """Build a catalogue of the demo's known tracks; return them.

    Parameters
    ----------
    folder : Path
        Folder of the catalogue.
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
