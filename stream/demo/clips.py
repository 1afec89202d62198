"""The recordings of the demo's programmes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).parent
RATE = 48_000  # Opus's own


@dataclass(frozen=True, slots=True)
class Part:
    """One excerpt of one recording; the fields are those of parts.toml.

    Parameters
    ----------
    name : str
        Its key, and the name of its Opus file.
    kind : {"speech", "music", "noise"}
        Kind of audio.
    title, artist, licence : str
        As in ATTRIBUTION.md.
    source, path : str
        Origin: a package or corpus, and the file inside.
    from_s, length_s : float
        The excerpt, in seconds of the recording.
    catalogued : bool
        Whether it is in the demo's catalogue.
    """

    name: str
    kind: Literal["speech", "music", "noise"]
    title: str
    artist: str
    licence: str
    source: str
    path: str
    from_s: float
    length_s: float
    catalogued: bool = False

    @property
    def file(self) -> Path:
        """The Opus file."""
        return FOLDER / "audio" / f"{self.name}.opus"


@cache
def parts() -> dict[str, Part]:
    """Return every part by name."""
    table = tomllib.loads((FOLDER / "parts.toml").read_text(encoding="utf-8"))
    return {name: Part(name=name, **values) for name, values in table.items()}


@cache  # programmes and catalogue use the same parts
def decode(part: Part) -> NDArray[np.float32]:
    """Return a part's samples, mono at `RATE`; not to be written to."""
    from stream.decoding.reader import AudioReader

    samples = np.concatenate([block.samples for block in AudioReader(part.file)])
    samples.flags.writeable = False
    return samples
