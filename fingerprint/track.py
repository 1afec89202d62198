"""A track of a catalogue: its metadata, and its peaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airsift.json_types import JsonScalar


@dataclass(frozen=True, slots=True)
class TrackName:
    """What a track is called.

    Parameters
    ----------
    track, title, artist : str
        Its key in the catalogue, its title and its artist.
    """

    track: str
    title: str
    artist: str


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a catalogue.

    Parameters
    ----------
    key : str
        Its name in the catalogue, unique.
    title, artist, album, isrc, label : str
        Metadata; empty where unknown. The label is the company that published the record.
    duration : int >= 0
        Samples at 16 kHz.
    content : str
        Hash of its file: the same file is not added twice.
    extra : dict
        Further fields: texts, finite numbers, booleans and None; at most 10 000 bytes as JSON.
    recording : str
        Key of the first track that was added with this recording: copies, edits and remasters have
        one. Empty in a new track without a copy; its own key once it is stored.
    """

    key: str
    title: str = ""
    artist: str = ""
    album: str = ""
    isrc: str = ""
    label: str = ""
    duration: int = 0
    content: str = ""
    extra: dict[str, JsonScalar] = field(default_factory=dict)
    recording: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class TrackPeaks:
    """The peaks of a new track, on the grid of the index.

    Parameters
    ----------
    track : int
        Its number.
    length : int > 0
        Frames.
    frame, bin : np.ndarray [shape=(n,), int64]
        The peaks, in ascending order of frames.
    """

    track: int
    length: int
    frame: NDArray[np.int64]
    bin: NDArray[np.int64]
