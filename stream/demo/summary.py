"""The demo's summary: the published events beside the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stream.demo.clips import parts
from stream.demo.programme import Programme, Stretch
from stream.demo.score import LabelScore, NamedTrack, score_labels, score_songs, total
from stream.events import Event, Match, Segment

if TYPE_CHECKING:
    from stream.events import Label

MARKS: dict[Label, str] = {"speech": "s", "music": "m", "speech_over_music": "b", "other": "."}
STEPS_MS = (1000, 2000, 3000, 5000, 10_000)  # per letter of a strip; the shortest that fits
_MARGIN = 10  # columns of a strip for its station, and one at the end


def stretches_of(events: Iterable[Event], station: str) -> list[Stretch]:
    """Return a station's final segments, in milliseconds."""
    return [
        Stretch(_ms(e.start, e.rate), _ms(e.end, e.rate), e.label)
        for e in events
        if isinstance(e, Segment) and e.final and e.station == station
    ]


def names_of(events: Iterable[Event], station: str) -> list[NamedTrack]:
    """Return the matches of a station, in milliseconds."""
    return [
        NamedTrack(_ms(e.start, e.rate), _ms(e.end, e.rate), e.track)
        for e in events
        if isinstance(e, Match) and e.station == station
    ]


def summary(
    programmes: Sequence[Programme], events: Sequence[Event], columns: int = 80
) -> list[str]:
    """Return the lines that compare the published events with the programmes.

    The strips fit into `columns` if letters of 10 s do.
    """
    longest = max(programme.length_ms for programme in programmes)
    room = columns - _MARGIN
    step = next((step for step in STEPS_MS if longest <= step * room), STEPS_MS[-1])
    letters = ", ".join(f"{mark} {label.replace('_', ' ')}" for label, mark in MARKS.items())
    lines = [
        f"Every {step // 1000} s of what was played, and below of what airsift published:",
        f"  {letters}",
    ]
    each: dict[Label, LabelScore] = {}
    for programme in programmes:
        published = stretches_of(events, programme.name)
        lines.append(
            f"  {programme.name:<6} {_picture(programme.stretches, programme.length_ms, step)}"
        )
        lines.append(f"  {'':<6} {_picture(published, programme.length_ms, step)}")
        for label, score in score_labels(programme.stretches, published).items():
            each[label] = each.get(label, LabelScore(0, 0)) + score
    lines += ["", "Share of the time with the right label, by the true label:"]
    lines += [_row(label.replace("_", " "), each[label]) for label in MARKS if label in each]
    lines += [_row("all", total(list(each.values()))), "", "Songs:"]
    return lines + _songs(programmes, events)


def _songs(programmes: Sequence[Programme], events: Sequence[Event]) -> list[str]:
    lines: list[str] = []
    right = wrong = known = 0
    for programme in programmes:
        songs = score_songs(programme.plays, names_of(events, programme.name))
        known += len(songs.found) + len(songs.missed)
        right += len(songs.found)
        wrong += len(songs.false)
        for play in programme.plays:
            found = play in songs.found
            what = "named" if found else "missed" if play.known else "not in the catalogue"
            part = parts()[play.track]
            lines.append(f"  {programme.name:<6} {part.artist} - {part.title}: {what}")
        lines += [f"  {programme.name:<6} {name.track}: WRONG NAME" for name in songs.false]
    return [*lines, f"  {right} of {known} named, {wrong} wrong"]


def _picture(stretches: Sequence[Stretch], length_ms: int, step_ms: int) -> str:
    """Return one letter for every step: the label in its middle."""
    return "".join(
        next((MARKS[s.label] for s in stretches if s.start <= middle < s.end), " ")
        for middle in range(step_ms // 2, length_ms, step_ms)
    )


def _row(name: str, score: LabelScore) -> str:
    return f"  {name:<18} {score.share:6.1%}  of {score.total / 1000:5.1f} s"


def _ms(sample: int, rate: int) -> int:
    return sample * 1000 // rate
