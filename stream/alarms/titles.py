"""Whether the title that a source gives names the song that is heard.

Titles and songs come apart: a title with each second, a song some seconds after it was heard, and
how far apart depends on how audio is cut. So a song waits until the titles of its time are there,
and the same pairs are compared in any case::

    titles   ├──── A ────┤├──────────── B ────────────┤
    songs           │ a      │ a             │ b          each is compared where it was heard
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from stream.ranges import Sample, Text

if TYPE_CHECKING:
    from stream.events import Level, Match

_MAX_TITLES = 64  # changes of the title that are remembered; a song comes well within an hour
_MAX_SONGS = 64
_MAX_TEXT = 500
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Song:
    """A song that was heard at `end`, and since `start` as far as it was not asked before."""

    start: Sample
    end: Sample
    names: Annotated[tuple[Text, ...], Field(max_length=32)]


class Comparison(NamedTuple):
    """How far title and song agree in [start, end), behind `before`, where the last one ended.

    `value` is that of `agreement`; None where there is nothing to compare.
    """

    before: int
    start: int
    end: int
    value: float | None


@dataclass(slots=True)
class Titles:
    """A station's titles and songs, of late; a part of its snapshot.

    Parameters
    ----------
    done : int >= 0
        The titles before this sample are known.
    titles : list of (int, str)
        Since when each title was given, in order; "" for none.
    songs : list of Song
        Those that wait for titles.
    asked : int >= 0
        Up to where songs were compared, or wait.
    compared : int >= 0
        Up to where they were compared.
    """

    done: Sample = 0
    titles: Annotated[list[tuple[Sample, Text]], Field(max_length=_MAX_TITLES)] = field(
        default_factory=list
    )
    songs: Annotated[list[Song], Field(max_length=_MAX_SONGS)] = field(default_factory=list)
    asked: Sample = 0
    compared: Sample = 0

    def copy(self) -> Titles:
        """Return one that can change on its own."""
        return replace(self, titles=[*self.titles], songs=[*self.songs])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        return not self.titles and not self.songs

    def add_title(self, level: Level) -> list[Comparison]:
        """Take the title of a second; return what can be compared now."""
        title = (level.title or "")[:_MAX_TEXT]
        if not self.titles or self.titles[-1][1] != title:
            self.titles.append((level.start, title))
            del self.titles[:-_MAX_TITLES]
        self.done = level.end
        return self._compare()

    def add_song(self, match: Match) -> list[Comparison]:
        """Take what is known of a song; return what can be compared now."""
        start = max(self.asked, match.start)
        if match.end <= start:
            return []
        names = [(match.title, match.artist)]
        names += [(each.title, each.artist) for each in match.alternatives[:31]]
        titles = tuple(title[:_MAX_TEXT] for title, _ in names if words(title))
        self.asked = match.end
        self.songs.append(Song(start, match.end, titles))
        del self.songs[:-_MAX_SONGS]
        return self._compare()

    def finish(self, sample: int) -> list[Comparison]:
        """Compare all songs: the audio breaks off at a sample."""
        self.done = max(self.done, sample, *(song.end for song in self.songs), 0)
        return self._compare()

    def _compare(self) -> list[Comparison]:
        ready = [song for song in self.songs if song.end <= self.done]
        if ready:
            self.songs = [song for song in self.songs if song.end > self.done]
        out = []
        for song in ready:
            value = agreement(self._title_at(song.end - 1), song.names)
            out.append(Comparison(self.compared, song.start, song.end, value))
            self.compared = max(self.compared, song.end)
        return out

    def _title_at(self, sample: int) -> str:
        return next((title for since, title in reversed(self.titles) if since <= sample), "")


def agreement(title: str, names: tuple[str, ...]) -> float | None:
    """Return the share of a song's words that a title has, in [0, 1]; of the song that fits best.

    Parameters
    ----------
    title : str
        What the source says; "" for nothing.
    names : tuple of str
        Titles that the song may have.

    Returns
    -------
    float or None
        None where there is nothing to compare.
    """
    given = words(title)
    if not given or not names:
        return None
    return round(max(len(words(name) & given) / len(words(name)) for name in names), 3)


def words(text: str) -> frozenset[str]:
    """Return the words of a text, without case and accents."""
    plain = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in plain if not unicodedata.combining(char))
    return frozenset(_WORD.findall(bare.casefold()))
