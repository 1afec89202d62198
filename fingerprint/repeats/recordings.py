"""Several recordings on the time axis of one station, with room between them.

The room is longer than `MIN_LAG`, so that the same piece in two short files is a repeat.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airsift.files import atomic
from fingerprint.repeats.alignment import BLOCK
from fingerprint.repeats.finder import MIN_LAG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FILE = "recordings.json"
ROOM = (MIN_LAG // BLOCK + 1) * BLOCK  # frames


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, and the frames that it has on the axis.

    Parameters
    ----------
    path : str
        Where it was when it was read.
    start, end : int
        Frames, half-open.
    audio : str
        Hash of its audio, by which it is known when it was moved or got other tags; empty where
        nobody needs that.
    """

    path: str
    start: int
    end: int
    audio: str = ""


def next_start(recordings: list[Recording]) -> int:
    """Return the frame at which the next recording begins, the first of a block."""
    if not recordings:
        return 0
    return -(-(recordings[-1].end + ROOM) // BLOCK) * BLOCK


def place_of(recordings: Sequence[Recording], frame: int) -> Recording | None:
    """Return the recording that holds a frame, or the next one; None if there are none."""
    return next((each for each in recordings if frame < each.end), None)


def write_recordings(folder: Path, recordings: list[Recording]) -> None:
    """Store the list in a station's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / _FILE) as partial:
        partial.write_text(json.dumps([asdict(each) for each in recordings]), encoding="utf-8")


def read_recordings(folder: Path) -> list[Recording]:
    """Return the list of a station's folder; empty for a live station."""
    try:
        return [Recording(**each) for each in json.loads((folder / _FILE).read_bytes())]
    except (OSError, ValueError, TypeError):
        return []
