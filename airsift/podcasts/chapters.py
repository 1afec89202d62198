"""Chapters of an episode, from its segments, its songs and what its series repeats.

All that is known is painted on the time axis, the surest first; what is painted stays::

    named repeats      jingle "News"       ......nn................................
    adverts            repeated, talk      ......nn..............aaa...............
    songs              of a catalogue      ......nn....ssssss....aaa...............
    repeated music                         ......nn....ssssss....aaa...............
    jingles and beds   unnamed repeats     ......nn....ssssss....aaa.....j.........
    music              of the segments     ......nn....ssssss....aaa.....j....mmmm.
    talk               the rest            ttttttnnttttssssssttttaaatttttjttttmmmmt

A jingle opens a chapter that lasts to the next one: the talk behind it belongs to it. Parts that
are too short then join a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airsift.api.results import Match, Segment

Kind = Literal["talk", "music", "advert"]

MIN_PART_S = 1.0  # what is shorter is no part: borders of what was found differ by as much
_BREAK_S = 3.0  # between two adverts that are one chapter


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of an episode.

    Parameters
    ----------
    start_s, end_s : float >= 0
        Seconds from the episode's begin, in whole milliseconds; the end is exclusive.
    title : str
        Its title.
    kind : {"talk", "music", "advert"}
        What most of it is.
    toc : bool
        Whether a player lists it; False for suspected adverts.
    track : str, optional
        Key in the catalogue, of a song and of a repeat that was named.
    """

    start_s: float
    end_s: float
    title: str
    kind: Kind
    toc: bool = True
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """A stretch of an episode that is played elsewhere in its series too.

    Parameters
    ----------
    start_s, end_s : float
        Seconds from the episode's begin.
    kind : str
        "advert", "song", "jingle", "bed", "opening", "closing", "programme open", "other", or any
        other word that it was given with its name.
    title : str
        The name that it was given; empty where it has none.
    track : str, optional
        Its key in the catalogue, if it was named.
    """

    start_s: float
    end_s: float
    kind: str
    title: str = ""
    track: str | None = None


@dataclass(slots=True)
class _Part:
    start: float
    end: float
    kind: Kind
    title: str = ""
    track: str | None = None
    opens: bool = False  # talk that begins a chapter, by a jingle
    named: bool = False  # by a person: it stays, however short it is

    @property
    def length(self) -> float:
        return self.end - self.start


def chapters_of(
    segments: Iterable[Segment],
    matches: Iterable[Match],
    repeats: Iterable[Repeat],
    duration_s: float,
    *,
    min_s: float = 15.0,
    min_music_s: float = 45.0,
) -> list[Chapter]:
    """Return the chapters of an episode.

    They are in order, begin at 0, end at the duration, and cover all between without overlap. None
    is shorter than `min_s` but those that a person named, and the only one of a short episode. The
    order of the arguments' items does not matter.

    Parameters
    ----------
    segments : iterable of Segment
        Speech and music.
    matches : iterable of Match
        Tracks of the catalogue.
    repeats : iterable of Repeat
        What is played elsewhere in the series too.
    duration_s : float >= 0
        Seconds of the episode; without any there are no chapters.
    min_s : float > 0
        Seconds of the shortest chapter.
    min_music_s : float > 0
        Seconds from which on music that nobody knows is a chapter of its own.
    """
    duration_s = round(duration_s, 3)
    if duration_s <= 0:
        return []
    parts = _painted(_wanted(segments, matches, repeats, min_music_s), duration_s)
    _join_short(parts, min_s)
    return _titled(parts)


def _wanted(
    segments: Iterable[Segment],
    matches: Iterable[Match],
    repeats: Iterable[Repeat],
    min_music_s: float,
) -> list[_Part]:
    """Return what is to be painted, the surest first."""
    named, adverts, songs, jingles = list[_Part](), list[_Part](), list[_Part](), list[_Part]()
    for each in repeats:
        kind = _KINDS.get(each.kind, "talk")
        part = _Part(each.start_s, each.end_s, kind, each.title, each.track, kind == "talk")
        part.named = bool(each.title)
        if part.named:
            named.append(part)
        elif kind == "advert":
            adverts.append(part)
        elif kind == "music":
            songs.append(part)
        elif each.kind != "other":
            jingles.append(part)
    music = [(each.start_s, each.end_s) for each in segments if each.label == "music"]
    known = list(_songs(matches, music))
    unknown = [_Part(*span, "music") for span in music if span[1] - span[0] >= min_music_s]
    return [
        *_longest_first(named),
        *_breaks(adverts),
        *_longest_first(known),
        *_longest_first(songs),
        *_longest_first(jingles),
        *_longest_first(unknown),
    ]


_KINDS: dict[str, Kind] = {"advert": "advert", "song": "music", "music": "music"}


def _songs(matches: Iterable[Match], music: Sequence[tuple[float, float]]) -> Iterator[_Part]:
    """Yield the songs; one that fills most of a segment of music has all of it."""
    found = [
        _Part(each.start_s, each.end_s, "music", _title_of(each), each.track) for each in matches
    ]
    found.sort(key=lambda each: (each.start, each.end, each.track, each.title))
    for start, end in music:
        inside = [each for each in found if each.start < end and start < each.end]
        if len({each.track for each in inside}) != 1:
            continue
        common = sum(min(each.end, end) - max(each.start, start) for each in inside)
        if 2 * common >= end - start:
            first, last = inside[0].start, max(each.end for each in inside)
            yield replace(inside[0], start=min(start, first), end=max(end, last))
    yield from found


def _title_of(match: Match) -> str:
    title = match.title or match.track
    return f"{match.artist} - {title}" if match.artist else title


def _longest_first(parts: list[_Part]) -> list[_Part]:
    return sorted(parts, key=lambda each: (-each.length, each.start, each.title, each.track or ""))


def _breaks(adverts: list[_Part]) -> list[_Part]:
    """Return breaks: adverts one after another are one."""
    found: list[_Part] = []
    for each in sorted(adverts, key=lambda part: (part.start, part.end)):
        if found and each.start - found[-1].end <= _BREAK_S:
            found[-1].end = max(found[-1].end, each.end)
        else:
            found.append(each)
    return found


def _painted(wanted: list[_Part], duration_s: float) -> list[_Part]:
    """Return parts that cover the episode: each wanted one where nothing was painted before."""
    done: list[_Part] = []
    for part in wanted:
        part.start, part.end = max(part.start, 0.0), min(part.end, duration_s)
        free = [
            (start, end)
            for start, end in _free(done, part.start, part.end)
            if end - start >= MIN_PART_S
        ]
        if part.opens:  # it opens a chapter where it begins, or not at all
            free = [span for span in free[:1] if span[0] == part.start]
        for start, end in free:
            piece = _Part(start, end, part.kind, part.title, part.track, part.opens, part.named)
            done.append(piece)
        done.sort(key=lambda each: each.start)
    done += [_Part(start, end, "talk") for start, end in _free(done, 0.0, duration_s)]
    return sorted(done, key=lambda each: each.start)


def _free(done: list[_Part], start: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield what of [start, end) is not covered by parts, which are in order."""
    for each in done:
        if each.end <= start:
            continue
        if each.start >= end:
            break
        if each.start > start:
            yield start, each.start
        start = each.end
    if start < end:
        yield start, end


def _join_short(parts: list[_Part], min_s: float) -> None:
    """Join what belongs together, and what is too short with a neighbour: the shortest first."""
    _unify(parts)
    while len(parts) > 1:
        short = [n for n, each in enumerate(parts) if each.length < min_s - 5e-4 and not each.named]
        if not short:
            return
        _absorb(parts, min(short, key=lambda n: (parts[n].length, n)))
        _unify(parts)


def _absorb(parts: list[_Part], number: int) -> None:
    """Give the time of a part to the neighbour that is most like it."""
    part = parts.pop(number)
    before = parts[number - 1] if number else None
    after = parts[number] if number < len(parts) else None
    if before is None or (after is not None and _fits_after(part, before, after)):
        assert after is not None
        after.start = part.start
        after.opens = after.opens or part.opens
    else:
        before.end = part.end


def _fits_after(part: _Part, before: _Part, after: _Part) -> bool:
    """Return whether a part rather belongs to the one behind it than to the one before it."""
    if after.named:  # it begins where its name is
        return False
    if part.opens and after.kind == "talk":
        return True
    for kind in (part.kind, "talk"):
        if before.kind == kind:
            return False
        if after.kind == kind:
            return True
    return before.kind == "advert"  # nothing else is hidden with it


def _unify(parts: list[_Part]) -> None:
    """Make one of neighbours between which no chapter begins."""
    joined: list[_Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last is not None and _is_one(last, part):
            last.end = part.end
        else:
            joined.append(part)
    parts[:] = joined


def _is_one(last: _Part, part: _Part) -> bool:
    if last.kind != part.kind:
        return False
    if part.kind == "talk":
        return not part.opens
    return (last.title, last.track) == (part.title, part.track)


def _titled(parts: list[_Part]) -> list[Chapter]:
    """Return the chapters; talk without a name is numbered."""
    unnamed = sum(each.kind == "talk" and not each.title for each in parts)
    chapters: list[Chapter] = []
    number = 0
    for part in parts:
        title = part.title or {"music": "Music", "advert": "Advert"}.get(part.kind, "")
        if not title:
            number += 1
            title = f"Part {number}" if unnamed > 1 else "Talk"
        start, end = round(part.start, 3), round(part.end, 3)
        chapters.append(Chapter(start, end, title, part.kind, part.kind != "advert", part.track))
    return chapters
