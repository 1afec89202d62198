"""The songs of a period: matches joined to plays, and how much of each was in the foreground.

One time that a song plays may be several matches: a stream is cut, or a process begins anew, and
two processes may have had the station. Matches of one track are one play where the track goes on as
if it had never stopped::

    matches       [ 0:00 of the track ... 1:10 ]   gap   [ 1:25 ... 3:40 ]
    play          [                       one                            ]

A play belongs to the period that it begins in; its seconds belong to the periods that it lasts
through. So plays and seconds of parts of a period add up to those of the period.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stream.history.plays import Play as Divided
from stream.history.plays import plays_of
from stream.history.rows import Row, TrackRow

# The longest hole in a play. It need only bound what is read around a period: that a track is
# where it would be by chance does not happen.
HOLE_MS = 600_000
# Stations play songs up to this much faster or slower, so positions drift apart with time.
_DRIFT = 0.05
_AGREE_MS = 3_000  # a match begins where a query has found it, up to a query late


@dataclass(frozen=True, slots=True)
class Play:
    """One time that a station played a song.

    Parameters
    ----------
    key : str
        The track's, in the catalogue.
    track : TrackRow or None
        The catalogue's words about it.
    begin, end : int
        From when to when it played, in Unix milliseconds, also beyond the period.
    continued : bool
        Whether it began before the period.
    score : float
        The best of its matches.
    foreground_ms, under_speech_ms, other_ms : int
        Of the period: in segments of music, in segments with speech, and in neither.
    starts : tuple of int
        The first samples of its matches, by which their clips are named.
    """

    key: str
    track: TrackRow | None
    begin: int
    end: int
    continued: bool
    score: float
    foreground_ms: int
    under_speech_ms: int
    other_ms: int
    starts: tuple[int, ...] = ()

    @property
    def heard_ms(self) -> int:
        """Milliseconds of the period in which it was heard."""
        return self.foreground_ms + self.under_speech_ms + self.other_ms


def plays_in(
    matches: Iterable[Row],
    segments: Sequence[tuple[int, int, str]],
    since: int,
    until: int,
) -> list[Play]:
    """Return the plays with a part in [since, until), in order of their begins.

    Parameters
    ----------
    matches : iterable of Row
        Dated matches of one station with a part in [since - `HOLE_MS`, until), in order of their
        begins.
    segments : sequence of (int, int, str)
        Begin, end and label of its segments in that range, in order of their begins.
    since, until : int
        The period.
    """
    plays: list[list[Row]] = []
    recent: dict[str, list[list[Row]]] = {}  # of each track, those that may go on
    for row in matches:
        mine = recent.setdefault(key_of(row), [])
        mine[:] = [play for play in mine if _begin(row) <= _end(_last(play)) + HOLE_MS]
        play = next((play for play in mine if _goes_on(_last(play), row)), None)
        if play is None:
            mine.append([row])
            plays.append(mine[-1])
        else:
            play.append(row)
    cut = [_cut(rows, since, until) for rows in plays]
    divided = iter(plays_of((piece for pieces in cut for piece in pieces), segments))
    found = []
    for rows, pieces in zip(plays, cut, strict=True):
        parts = [next(divided) for _ in pieces]
        if parts or since <= _begin(rows[0]) < until:
            found.append(_play(rows, parts, since))
    return found


def key_of(row: Row) -> str:
    """Return the key of a match's track."""
    return row.subject if row.track is None else row.track.track


def _last(play: Sequence[Row]) -> Row:
    """Return the match of a play that ends last."""
    return max(play, key=lambda row: (_end(row), _begin(row)))


def _goes_on(last: Row, row: Row) -> bool:
    """Whether a match goes on with the play of its track whose last match is given."""
    before, now = ((each.details or {}).get("track_start_s") for each in (last, row))
    if not (isinstance(before, int | float) and isinstance(now, int | float)):
        return _begin(row) <= _end(last)
    passed = _begin(row) - _begin(last)
    return abs((now - before) * 1000 - passed) <= _AGREE_MS + _DRIFT * abs(passed)


def _cut(rows: Sequence[Row], since: int, until: int) -> list[Row]:
    """Return the parts of a play's matches in the period, without what two of them say twice."""
    pieces, at = [], since
    for row in rows:
        first, last = max(_begin(row), at), min(_end(row), until)
        if first < last:
            pieces.append(replace(row, starts_ms=first, ends_ms=last))
            at = last
    return pieces


def _play(rows: Sequence[Row], parts: Sequence[Divided], since: int) -> Play:
    begin = _begin(rows[0])
    return Play(
        key_of(rows[-1]),
        rows[-1].track,
        begin,
        max(_end(row) for row in rows),
        begin < since,
        max(row.score or 0.0 for row in rows),
        sum(round(each.foreground_s * 1000) for each in parts),
        sum(round(each.under_speech_s * 1000) for each in parts),
        sum(round(each.other_s * 1000) for each in parts),
        tuple(row.start for row in rows),
    )


def _begin(row: Row) -> int:
    return row.starts_ms or 0


def _end(row: Row) -> int:
    return row.ends_ms or 0
