"""The demo's summary: the published events beside the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stream.demo.clips import parts
from stream.demo.programme import Programme, Stretch
from stream.demo.score import LabelScore, NamedTrack, score_labels, score_songs, total
from stream.events import Event, Match, Repeat, Segment

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


def names_of(events: Iterable[Event], programme: Programme) -> list[NamedTrack]:
    """Return the matches of a station's programme, in milliseconds."""
    names = [
        NamedTrack(_ms(e.start, e.rate), _ms(e.end, e.rate), e.track)
        for e in events
        if isinstance(e, Match) and e.station == programme.name
    ]
    return [name for name in names if name.start < programme.length_ms]


def repeat_in(events: Iterable[Event], programme: Programme) -> Repeat | None:
    """Return the repeat of what a programme has again; None where it was not found."""
    again = programme.again
    if again is None:
        return None
    start = programme.length_ms + again.after_ms
    end = start + again.once_ms
    found = [e for e in events if isinstance(e, Repeat) and e.station == programme.name]
    return next((e for e in found if _has(e, start, end)), None)


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
    return lines + _songs(programmes, events) + _repeats(programmes, events)


def _songs(programmes: Sequence[Programme], events: Sequence[Event]) -> list[str]:
    lines: list[str] = []
    right = wrong = known = 0
    for programme in programmes:
        songs = score_songs(programme.plays, names_of(events, programme))
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


def _repeats(programmes: Sequence[Programme], events: Sequence[Event]) -> list[str]:
    """Return what became of a part that came again, and once more after it was named."""
    lines = []
    for programme in programmes:
        if programme.again is None:
            continue
        part, minutes = programme.again.part, programme.again.after_ms // 60_000
        head = f"  {programme.name:<6} {part.artist} - {part.title}"
        found = repeat_in(events, programme)
        if found is None:
            lines.append(f"{head}, again {minutes} min later: missed")
            continue
        named = any(
            isinstance(e, Match)
            and e.final
            and (e.station, e.title) == (programme.name, part.title)
            and _has(e, programme.sent_ms - programme.again.once_ms, programme.sent_ms)
            for e in events
        )
        lines += [
            f"{head}, again {minutes} min later: found as {found.cluster}, "
            f"{found.guess}, {found.count} times",
            f"  {'':<6} then named as by `airsift catalogue name`, and played once more: "
            f"{'recognised' if named else 'missed'}",
        ]
    return ["", "Played again, without being in the catalogue:", *lines] if lines else []


def _has(event: Event, start: int, end: int) -> bool:
    """Return whether an event covers most of a span, in milliseconds."""
    common = min(_ms(event.end, event.rate), end) - max(_ms(event.start, event.rate), start)
    return common > 0.5 * (end - start)


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
