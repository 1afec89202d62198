"""When a station's audio is queried: always, and more often where its label has music.

Music under loud speech is labelled speech, so a label cannot decide whether audio is queried. It
decides how often::

    label      speech              │ music               │ speech
    queries    │         │         │     │    │    │    ││    │    │         │
                other_interval      first  interval      its end   └ while a track plays
    short ones  · · · ·   · · · ·   · · · ·                           · · · ·

Two long queries are `interval` or more apart, or `other_interval` where nothing sounds like music
or is known to play. Only the first `first` of music and its end have one more query, and a break in
the audio has one. Every second of audio is in a query, because `other_interval` is at most
`max_query`.

A label is known 5 s after music begins, and a name is wanted sooner: so while audio has no name,
its last seconds are also queried every `short_interval`, which costs less than a long query.
"""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint.settings import EDGE, SAMPLE_RATE
from stream.ranges import Flag, Sample

# A track that plays is found up to this far before the end of a query, or it is over.
_TAIL = 3 * SAMPLE_RATE // 2


@dataclass(frozen=True, slots=True)
class IdentifySettings:
    """When the matcher is queried, all in samples.

    Parameters
    ----------
    first : int > 0
        Music before the first query.
    interval : int > 0
        Audio between two queries about the same music, or while a known track plays.
    query : int >= first
        Audio in a query about music that has a name.
    shortest : int > 0
        Music that ends sooner than this gets no query.
    tolerance : int >= 0
        Two answers are the same playing of a track if its positions agree within this.
    warp_every_n_queries : int > 0
        The matcher with warp search, if there is one, is queried about music without a name every
        n-th `interval`.
    max_query : int > 0
        Maximum audio in a query about audio without a name.
    other_interval : int > 0, <= max_query
        Audio between two queries where the label has no music and no known track plays.
    short_interval : int > 0
        Audio between any query and a short one behind it, while audio has no name.
    short_query : int >= shortest
        Audio in a short query.
    warp_first : int > 0
        Music without a name before the first query with warp search.
    """

    first: int
    interval: int
    query: int
    shortest: int
    tolerance: int
    warp_every_n_queries: int
    max_query: int
    other_interval: int
    short_interval: int
    short_query: int
    warp_first: int

    @property
    def longest(self) -> int:
        """The most audio that a query covers."""
        return max(self.max_query, self.query)


@dataclass(slots=True)
class QueryState:
    """What the next query of a station depends on, since its audio began or last broke off."""

    start: Sample  # where this audio begins
    asked: Sample  # end of the last decision that was followed by a query
    known: Sample  # up to here the audio has a name
    searched: Sample  # up to here the matcher with warp search was queried
    short: Sample = 0  # end of the last decision that was followed by a short query
    music: Sample | None = None  # where music began; None while the label has none
    warped: Flag = False  # whether warp search found what plays

    @classmethod
    def begin(cls, start: int) -> QueryState:
        """Return the state where audio begins."""
        return cls(start, asked=start, known=start, searched=start)

    def is_due(self, end: int, settings: IdentifySettings, *, playing: bool) -> bool:
        """Return whether a query is due when a decision ends.

        Parameters
        ----------
        end : int
            Where it ends.
        settings : IdentifySettings
            The intervals.
        playing : bool
            Whether a known track plays.
        """
        if playing:
            return end >= self.asked + settings.interval
        if self.music is None:
            return end >= self.asked + settings.other_interval
        first = self.music + settings.first
        return end >= (first if self.asked < first else self.asked + settings.interval)

    def short_is_due(self, end: int, settings: IdentifySettings, *, playing: bool) -> bool:
        """Return whether a short query is due when a decision ends.

        Parameters
        ----------
        end : int
            Where it ends.
        settings : IdentifySettings
            The intervals.
        playing : bool
            Whether a known track plays. Then only what the last query found behind it has no name.
        """
        if playing and self.asked - EDGE - self.known < _TAIL:
            return False
        begin = max(self.start, self.known)
        return (
            end >= max(self.asked, self.short) + settings.short_interval
            and end - EDGE >= begin + settings.shortest
        )

    def music_begins(self, start: int, *, playing: bool) -> None:
        """Note that the label has music from a sample on."""
        self.music = start
        if not playing:
            self.warped = False
            self.searched = max(self.searched, start)

    def nameless(self, end: int) -> int:
        """Return how many samples before a sample have no name; of music, if the label has it."""
        return end - max(self.known, self.music or 0)

    def from_sample(self, end: int, settings: IdentifySettings, *, playing: bool) -> int:
        """Return where a query that ends at a sample begins.

        It covers the audio without a name; while a track plays, at least `settings.query`.
        """
        earliest = max(self.start, end - settings.longest)
        return max(earliest, min(self.known, end - settings.query) if playing else self.known)

    def warp_is_due(
        self, end: int, settings: IdentifySettings, *, playing: bool, last: bool
    ) -> bool:
        """Return whether the matcher with warp search has its turn.

        It costs ten times as much as the plain one, so it is queried about music, and about what
        only it can confirm.

        Parameters
        ----------
        end : int
            End of the query.
        settings : IdentifySettings
            How often it has its turn.
        playing : bool
            Whether a known track plays.
        last : bool
            Whether this is the last query about the music.
        """
        if self.warped and playing:
            return True
        if self.music is None:
            return False
        if last and self.known < self.music + settings.shortest:
            return True
        nameless = max(self.music, self.known)
        if self.searched <= nameless:
            return end >= nameless + settings.warp_first
        return end >= self.searched + settings.warp_every_n_queries * settings.interval
