"""What a catalogue knows of a track: what people call it, and its peaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a catalogue.

    Parameters
    ----------
    key : str
        Its name in the catalogue, unique.
    title, artist, album, isrc : str
        What people call it; empty where not known.
    duration : int >= 0
        Samples at 16 kHz.
    content : str
        Hash of the file it was made from: the same file is not added twice.
    extra : dict
        Any other fields, as JSON knows them.
    """

    key: str
    title: str = ""
    artist: str = ""
    album: str = ""
    isrc: str = ""
    duration: int = 0
    content: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """The peaks of a new track, on the grid of the index.

    Parameters
    ----------
    track : int
        Its number.
    length : int > 0
        Frames.
    frame, bin : np.ndarray [shape=(n,), int64]
        Where the peaks are, frames ascending.
    """

    track: int
    length: int
    frame: NDArray[np.int64]
    bin: NDArray[np.int64]
