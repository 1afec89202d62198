"""A report: what stations played in a period, from the history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING

from airsift.reports.airtime import LABELS, MUSIC, STATES, Run, runs_of, sums_by_part
from airsift.reports.days import Part, days, hours
from airsift.reports.playlist import HOLE_MS, Play, plays_in
from stream.history.plays import union_ms

if TYPE_CHECKING:
    from stream.history.reader import History
    from stream.history.rows import Row, TrackRow

# Parts of a second without a segment lie between those that two processes have written.
_SHORTEST_OUTAGE_MS = 1_000


@dataclass(frozen=True, slots=True)
class Airtime:
    """Milliseconds of each state in a part of the period, and the plays that begin in it."""

    part: Part
    sums: Mapping[str, int]
    plays: int

    @property
    def heard_ms(self) -> int:
        """Milliseconds in which there was audio."""
        return sum(self.sums[state] for state in LABELS)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A track in the period.

    Parameters
    ----------
    key, track
        The catalogue's key and words.
    plays : int
        Plays that begin in the period.
    foreground_ms, under_speech_ms, other_ms : int
        Of all its plays, in the period.
    first, last : int
        When its first and its last play in the period began; 0 where none did.
    is_new : bool
        Whether nothing of it is stored before the period.
    """

    key: str
    track: TrackRow | None
    plays: int
    foreground_ms: int
    under_speech_ms: int
    other_ms: int
    first: int
    last: int
    is_new: bool

    @property
    def heard_ms(self) -> int:
        """Milliseconds of the period in which it was heard."""
        return self.foreground_ms + self.under_speech_ms + self.other_ms


@dataclass(frozen=True, slots=True)
class Unknown:
    """A piece without a name that the station played again.

    Parameters
    ----------
    cluster : str
        What its occurrences share.
    label, guess : str
        What it sounds like, and what it may be.
    heard : tuple of (int, int)
        Begin and end of its occurrences in the period, in Unix milliseconds.
    count : int
        Occurrences as far as airsift remembers, also before the period.
    """

    cluster: str
    label: str
    guess: str
    heard: tuple[tuple[int, int], ...]
    count: int


@dataclass(frozen=True, slots=True)
class Outage:
    """A time without audio. `reason` is a gap's, or "" where nothing is stored."""

    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that was open in the period.

    Parameters
    ----------
    start, end : int
        From when to when; of one that is open, when it was last heard of.
    rule, severity, text : str
        What those who published it said of it.
    is_open : bool
        Whether it is not over.
    """

    start: int
    end: int
    rule: str
    severity: str
    text: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class StationReport:
    """A station in the period.

    Parameters
    ----------
    station : str
        Its name.
    hours, days : list of Airtime
        The parts of the period.
    runs : list of Run
        What it was at each moment.
    plays : list of Play
        The playlist.
    rotation : list of Rotation
        Its tracks, the most heard first.
    unnamed_ms : int
        Music and talk-over in which no track is known.
    unknown : list of Unknown
        Pieces without a name that were heard again, those of music first.
    outages : list of Outage
        When there was no audio, of a second or longer.
    alarms : list of Alarm
        In order of their begins.
    has_levels : bool
        Whether levels are stored, by which silence is known from other sounds.
    first_ms : int or None
        When the first of all that is stored of it began.
    """

    station: str
    hours: list[Airtime]
    days: list[Airtime]
    runs: list[Run]
    plays: list[Play]
    rotation: list[Rotation]
    unnamed_ms: int
    unknown: list[Unknown]
    outages: list[Outage]
    alarms: list[Alarm]
    has_levels: bool
    first_ms: int | None

    @property
    def total(self) -> dict[str, int]:
        """Milliseconds of each state in the period."""
        return {state: sum(each.sums[state] for each in self.hours) for state in STATES}

    @property
    def heard_ms(self) -> int:
        """Milliseconds in which there was audio."""
        return sum(each.heard_ms for each in self.hours)


@dataclass(frozen=True, slots=True)
class Report:
    """What stations played in [since, until).

    Parameters
    ----------
    since, until, made : int
        Unix milliseconds; `made` is when the report was made.
    zone : tzinfo, optional
        Of days and times; None for this machine's.
    stations : list of StationReport
        In the order that was asked for.
    """

    since: int
    until: int
    made: int
    zone: tzinfo | None
    stations: list[StationReport]


def report_station(
    history: History,
    station: str,
    since: int,
    until: int,
    zone: tzinfo | None,
    silence_dbfs: float,
) -> StationReport:
    """Make the report of a station.

    Parameters
    ----------
    history : History
        What is stored.
    station : str
        The station.
    since, until : int
        The period, in Unix milliseconds.
    zone : tzinfo, optional
        Of days and hours; None for this machine's.
    silence_dbfs : float
        A level up to which other sounds count as silence.
    """
    segments = list(history.labels(station, since - HOLE_MS, until))
    gaps = _dated(history.rows([station], ["gap"], since, until))
    silences = history.silences(station, since, until, silence_dbfs)
    runs = runs_of(segments, _spans(gaps), silences, since, until)
    matches = _dated(history.rows([station], ["match"], since - HOLE_MS, until))
    plays = plays_in(matches, segments, since, until)
    begins = sorted(play.begin for play in plays if not play.continued)
    old = history.played_before(station, {play.key for play in plays}, since)
    [span] = history.spans([station])
    music = [(run.start, run.end) for run in runs if run.state in MUSIC]
    return StationReport(
        station,
        _airtime(runs, begins, hours(since, until, zone)),
        _airtime(runs, begins, days(since, until, zone)),
        runs,
        plays,
        _rotation(plays, old),
        sum(end - start for start, end in music) - union_ms(_spans(matches), music),
        _unknown(history.rows([station], ["repeat"], since, until)),
        _outages(runs, gaps),
        _alarms(history.rows([station], ["alarm"], None, until), since),
        history.has(station, "level", since, until),
        span.first_ms,
    )


def _dated(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.starts_ms is not None and row.ends_ms is not None]


def _spans(rows: Iterable[Row]) -> Iterator[tuple[int, int]]:
    return ((row.starts_ms or 0, row.ends_ms or 0) for row in rows)


def _airtime(runs: Sequence[Run], begins: Sequence[int], parts: Sequence[Part]) -> list[Airtime]:
    sums = sums_by_part(runs, [(part.start, part.end) for part in parts])
    found, at = [], 0
    for part, each in zip(parts, sums, strict=True):
        first = at
        while at < len(begins) and begins[at] < part.end:
            at += 1
        found.append(Airtime(part, each, at - first))
    return found


def _rotation(plays: Sequence[Play], old: set[str]) -> list[Rotation]:
    tracks: dict[str, list[Play]] = {}
    for play in plays:
        tracks.setdefault(play.key, []).append(play)
    found = []
    for key, some in tracks.items():
        begins = [play.begin for play in some if not play.continued]
        found.append(
            Rotation(
                key,
                some[-1].track,
                len(begins),
                sum(play.foreground_ms for play in some),
                sum(play.under_speech_ms for play in some),
                sum(play.other_ms for play in some),
                begins[0] if begins else 0,
                begins[-1] if begins else 0,
                key not in old and not some[0].continued,
            )
        )
    return sorted(found, key=lambda each: (-each.plays, -each.heard_ms, each.key))


def _unknown(rows: Iterable[Row]) -> list[Unknown]:
    """Return the pieces that no row gives a title, those of music and the most heard first."""
    clusters: dict[str, list[Row]] = defaultdict(list)
    for row in _dated(rows):
        clusters[_text(row, "cluster") or row.subject].append(row)
    found = []
    for cluster, some in clusters.items():
        if any(_text(row, "title") for row in some):
            continue
        [(label, _)] = Counter(row.label or "" for row in some).most_common(1)
        counts = ((row.details or {}).get("count") for row in some)
        known = [count for count in counts if isinstance(count, int)]
        guess = _text(some[-1], "guess")
        spans = tuple(_spans(some))
        found.append(Unknown(cluster, label, guess, spans, max([len(some), *known])))
    return sorted(found, key=lambda each: (each.label not in MUSIC, -len(each.heard), each.cluster))


def _outages(runs: Sequence[Run], gaps: Sequence[Row]) -> list[Outage]:
    """Return the runs without audio, with the reasons of the gaps that they begin in."""
    found, at = [], 0
    for run in runs:
        if run.state not in ("gap", "unknown") or run.end - run.start < _SHORTEST_OUTAGE_MS:
            continue
        while at < len(gaps) and (gaps[at].ends_ms or 0) <= run.start:
            at += 1
        reason = ""
        if run.state == "gap":
            reason = _text(gaps[at], "reason") if at < len(gaps) else ""
            reason = reason or "gap"
        found.append(Outage(run.start, run.end, reason))
    return found


def _alarms(rows: Iterable[Row], since: int) -> list[Alarm]:
    """Return the alarms that were open since then; one that is open ends where it began."""
    return [
        Alarm(
            row.starts_ms or 0,
            row.ends_ms or 0,
            _text(row, "rule") or "alarm",
            _text(row, "severity"),
            _text(row, "text"),
            row.final is False,
        )
        for row in _dated(rows)
        if row.final is False or (row.ends_ms or 0) >= since
    ]


def _text(row: Row, name: str) -> str:
    value = (row.details or {}).get(name)
    return value if isinstance(value, str) else ""
