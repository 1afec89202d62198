"""The tracks of a catalogue for people who look for one: a part of them at a time, newest first.

It reads the database alone, without an index in memory. A list of a hundred thousand tracks costs
no more than the part that is shown, and their numbers.
"""

from __future__ import annotations

import threading
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fingerprint.index.database import DATABASE, Metadata

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fingerprint.track import Track


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the list.

    Parameters
    ----------
    tracks : list of Track
        The newest first.
    found, total : int
        Tracks that the search found, and all there are.
    """

    tracks: list[Track]
    found: int
    total: int


class TrackList:
    """The list of a catalogue's tracks, for any thread.

    Parameters
    ----------
    folder : Path
        The catalogue's folder.

    Raises
    ------
    CatalogueError
        There is no catalogue, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._metadata = Metadata(folder / DATABASE)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._metadata.close()

    def part(self, words: str = "", *, offset: int = 0, limit: int = 50) -> Part:
        """Return a part of the list.

        Parameters
        ----------
        words : str
            Only tracks with each of these words in one of their texts, whatever its case and
            accents.
        offset, limit : int >= 0
            Tracks before the part, and the maximum number in it.
        """
        wanted = plain(words).split()

        def has(*texts: object) -> bool:
            text = plain("\n".join(map(str, texts)))
            return all(word in text for word in wanted)

        with self._lock:
            self._metadata.version()  # a copy that others have changed is read again
            numbers = self._metadata.numbers_with(has if wanted else None)
            some = map(self._metadata.track, numbers[offset : offset + limit])
            tracks = [track for track in some if track is not None]
            total = self._metadata.totals()[0] if wanted else len(numbers)
        return Part(tracks, len(numbers), total)

    def titles(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the titles of those of some keys that are tracks."""
        found = {}
        with self._lock:
            self._metadata.version()
            for key in keys:
                number = self._metadata.find(key)
                track = None if number is None else self._metadata.track(number)
                if track is not None:
                    found[key] = track.title
        return found


def plain(text: str) -> str:
    """Return a text as it is searched: without case, accents and width."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    return "".join(char for char in apart if not unicodedata.combining(char)).casefold()
