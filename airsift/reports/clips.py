"""The sound of songs and of unknown pieces, as airsift stores it, small enough for a page."""

from __future__ import annotations

import base64
import re
import wave
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.repeats.store import Store, folder_of
from stream.clips.songs import song_clip_of
from stream.kafka.codec.encode import ENCODERS, encode_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from airsift.reports.playlist import Play

# An id comes with an event, which anybody may have written: it must not lead to another file.
_CLUSTER = re.compile(r"[0-9a-f]{1,64}")
_MAX_BYTES = 16_000_000  # of a stored clip: eight minutes
_BIT_RATE = 48_000


class Clips:
    """Clips of songs and of repeats.

    Parameters
    ----------
    roots : sequence of Path
        Folders: `repeats.folder`, that of `airsift repeats --store`, `identify.clips.folder`.
    max_bytes : int > 0
        Of all clips that are given out, so that a page stays small.

    Attributes
    ----------
    left_out : int
        Clips beyond that.
    """

    def __init__(self, roots: Sequence[Path], max_bytes: int = 12_000_000) -> None:
        self._roots = roots
        self._room = max_bytes
        self.left_out = 0

    def url(self, station: str, cluster: str) -> str:
        """Return an unknown piece as a ``data:`` address of MP3, which every browser plays.

        It is "" where there is none.
        """
        if not _CLUSTER.fullmatch(cluster):
            return ""
        stores = (Store(folder_of(root, station)) for root in self._roots)
        return self._url(store.clip(cluster) for store in stores)

    def song_url(self, station: str, play: Play) -> str:
        """Return the sound of a play, as `url` does."""
        return self._url(
            song_clip_of(root, station, start, play.key)
            for start in play.starts
            for root in self._roots
        )

    def _url(self, paths: Iterable[Path]) -> str:
        """Return the first clip that is there."""
        found = ((samples, rate) for samples, rate in map(_read, paths) if len(samples))
        samples, rate = next(found, (None, 0))
        if samples is None:
            return ""
        if self._room <= 0:
            self.left_out += 1
            return ""
        data = base64.b64encode(encode_file(samples, rate, "mp3", _BIT_RATE)).decode()
        self._room -= len(data)
        return f"data:audio/mpeg;base64,{data}"


def _read(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return mono samples and their rate; none where the file is not what airsift writes."""
    nothing = np.empty(0, np.float32), 0
    try:
        if path.is_symlink() or path.stat().st_size > _MAX_BYTES:
            return nothing
        with wave.open(str(path), "rb") as file:
            form = file.getnchannels(), file.getsampwidth()
            rate, data = file.getframerate(), file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error):
        return nothing
    if form != (1, 2) or rate not in ENCODERS["mp3"].rates:
        return nothing
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768.0, rate
