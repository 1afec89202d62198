"""True labels of a file: Audacity's label tracks, CSV, and what `airsift segment` printed."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from airsift.errors import ConfigError, SourceError
from airsift.timeline.recorder import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# Speech and music of each label.
ACTIVE = {
    "speech": (True, False), "music": (False, True), "speech_over_music": (True, True),
    "other": (False, False),
}  # fmt: skip
SONG = "song"
COLUMNS = ("start_s", "end_s", "label")
_RULE = f"use one of {', '.join(ACTIVE)}, or song: NAME for what plays"
_MAX_LINES = 1_000_000
_MEET_S = 0.01


def read_labels(path: Path) -> list[Span]:
    """Read true labels.

    Parameters
    ----------
    path : Path
        ``.jsonl``: lines of `airsift segment`. ``.csv``: columns start_s, end_s, label and,
        optionally, name. Anything else: a label track as Audacity exports it, of lines
        ``start TAB end TAB label``. The name of a song follows a colon: ``song: Abel - Cain``.

    Returns
    -------
    list of Span
        By their begin. Songs have the label "song"; ``music: NAME`` is music and a song. Of one
        song, spans that follow each other are one.

    Raises
    ------
    SourceError, ConfigError
        The file cannot be read, or a line is wrong; the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"{path}: {error.strerror or error}; check the path of the labels and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8: give a file of labels") from error
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise ConfigError(f"{path} has {len(lines)} lines: labels have at most {_MAX_LINES}")
    kind = path.suffix.lower()
    read = _events if kind == ".jsonl" else _table if kind == ".csv" else _track
    spans = [span for line, row in read(path, lines) for span in _spans(path, line, *row)]
    if not spans:
        raise ConfigError(
            f"{path} has no labels: lines are start TAB end TAB label, in seconds; {_RULE}"
        )
    return _joined(sorted(spans, key=lambda span: (span.start_s, span.end_s)))


def agreement(truth: Sequence[Span], found: Sequence[Span]) -> tuple[float, float]:
    """Return the seconds in which speech and music are both as in truth, and the seconds of truth.

    Parameters
    ----------
    truth, found : sequence of Span
        With labels of `ACTIVE`; others are left out. Where several overlap, speech and music are
        active if they are in one of them.
    """
    truth, found = ([s for s in spans if s.label in ACTIVE] for spans in (truth, found))
    times = sorted({time for span in (*truth, *found) for time in (span.start_s, span.end_s)})
    right = total = 0.0
    for (start, true), (_, ours), end in zip(
        _states(times, truth), _states(times, found), times[1:], strict=False
    ):
        if true is None:
            continue
        total += end - start
        right += (end - start) * (true == ours)
    return right, total


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join the spans of a song that meet: it goes on when speech over it ends."""
    found: list[Span] = []
    latest: dict[str, int] = {}
    for span in spans:
        at = latest.get(span.name)
        if span.label == SONG and at is not None and span.start_s <= found[at].end_s + _MEET_S:
            end_s = max(found[at].end_s, span.end_s)
            found[at] = replace(found[at], end_s=end_s)
            continue
        if span.label == SONG:
            latest[span.name] = len(found)
        found.append(span)
    return found


Row = tuple[str, str, str, str]  # start, end, label and name, as they are written


def _states(
    times: Sequence[float], spans: Sequence[Span]
) -> Iterator[tuple[float, tuple[bool, bool] | None]]:
    """Yield what is active from each time to the next; None where nothing is labelled."""
    changes: dict[float, list[tuple[str, int]]] = {}
    for span in spans:
        changes.setdefault(span.start_s, []).append((span.label, 1))
        changes.setdefault(span.end_s, []).append((span.label, -1))
    open_now = dict.fromkeys(ACTIVE, 0)
    for time in times:
        for label, change in changes.get(time, []):
            open_now[label] += change
        labels = [ACTIVE[label] for label, count in open_now.items() if count]
        yield time, (any(s for s, _ in labels), any(m for _, m in labels)) if labels else None


def _track(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, 1):
        # Lines with a backslash are the frequencies of a selection.
        if not line.strip() or line.startswith("\\"):
            continue
        cells = line.split("\t")
        if len(cells) < 3:
            raise ConfigError(
                f"{path}, line {number}: {line[:60]!r} is not start TAB end TAB label"
            )
        yield number, _named(cells[0], cells[1], "\t".join(cells[2:]), "")


def _table(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(
            f"{path} has no column {missing[0]}: the first line must name "
            f"{', '.join(COLUMNS)} and, optionally, name"
        )
    for row in reader:
        start, end, label = (row[name] or "" for name in COLUMNS)
        yield reader.line_num, _named(start, end, label, row.get("name") or "")


def _events(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            schema = str(event["schema"])
            start, end = str(event["start_s"]), str(event["end_s"])
            if schema.startswith("airsift.match/"):
                yield number, (start, end, SONG, _song(event))
            elif schema.startswith("airsift.segment/"):
                yield number, (start, end, str(event["label"]), "")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}, line {number}: {line[:60]!r} is no event of `airsift segment`"
            ) from error


def _song(event: dict[str, object]) -> str:
    from stream.sinks.format import song

    return song(str(event["artist"]), str(event["title"]), str(event["track"]))


def _named(start: str, end: str, label: str, name: str) -> Row:
    label, _, after = label.partition(":")
    return start, end, label.strip(), (name or after).strip()


def _spans(path: Path, line: int, start: str, end: str, label: str, name: str) -> Iterator[Span]:
    times = []
    for what, text in (("start", start), ("end", end)):
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < 1e9:
            raise ConfigError(
                f"{path}, line {line}: {what}={text[:40]!r} is no time: write seconds from the "
                "beginning of the file, as 12.5"
            )
        times.append(seconds)
    if times[0] >= times[1]:
        raise ConfigError(f"{path}, line {line}: start={start} must lie before end={end}")
    label = label.lower().replace(" ", "_")
    if label not in ACTIVE and label != SONG:
        raise ConfigError(f"{path}, line {line}: label={label[:40]!r} is unknown: {_RULE}")
    if label != SONG:
        yield Span(times[0], times[1], label)
    if label == SONG or (name and ACTIVE[label][1]):
        yield Span(times[0], times[1], SONG, name or "?")
