"""A day of radio for the tests of reports: stations, songs and names that nobody should trust."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from airsift.reports.report import Report, report_station
from stream.events import Event, Gap, Level, Match, Repeat, Segment
from stream.history.rows import Row, row_of, row_of_fields
from tests.stream.databases import Base

RATE = 16_000
BERLIN = ZoneInfo("Europe/Berlin")
NORTH = "Radio North"
HOSTILE = 'Süd/😀 <script>alert(1)</script> & "x" \'=1+1'
FORMULA = '=HYPERLINK("http://example.com","x")'
DAY = int(datetime(2026, 11, 28, tzinfo=BERLIN).timestamp())  # a Saturday


def placed(station: str, start_s: float, end_s: float) -> tuple[str, int, int, int, float]:
    begin = DAY + start_s
    return station, round(begin * RATE), round((DAY + end_s) * RATE), RATE, begin


def segment(start_s: float, end_s: float, label: str, station: str = NORTH) -> Segment:
    return Segment(*placed(station, start_s, end_s), label, 0.98, final=True)  # type: ignore[arg-type]


def match(start_s: float, end_s: float, track: str, title: str, artist: str, **more) -> Match:
    station = more.pop("station", NORTH)
    start = round(more.pop("track_start_s", 0) * RATE)
    where = placed(station, start_s, end_s)
    return Match(*where, track, title, artist, start, 7.25, final=True, **more)


ORBITAL = {
    "album": "Skyhook", "record_label": "Own | Label", "isrc": "DE-A12-34-56789",
    "track_duration": 250 * RATE, "extra": {"ISWC": "T-034.524.680-1", "composer": "M. McCracken"},
}  # fmt: skip


def events() -> list[Event]:
    """Return what is stored: an hour of each label, songs, an unknown piece, a gap, levels."""
    found: list[Event] = [
        segment(-3600, 3600, "music"),
        segment(3600, 3700, "speech_over_music"),
        segment(3700, 7200, "speech"),
        segment(7200, 10_800, "other"),
        Gap(*placed(NORTH, 10_800, 10_920), "connection lost <b>"),
        segment(10_920, 86_400 + 600, "music"),
        match(-100, 150, "orbital", "Orbital | Elevator", "Max^stack", **ORBITAL),
        match(3400, 3500, "orbital", "Orbital | Elevator", "Max^stack", **ORBITAL),
        # The same playing, after the stream was cut.
        match(
            3520, 3650, "orbital", "Orbital | Elevator", "Max^stack", track_start_s=120, **ORBITAL
        ),
        match(20_000, 20_200, "formula", FORMULA, "+Artist\twith a tab"),
        match(30_000, 30_180, "ink", "Warm Ink", "Ghøst ヲ", isrc="nonsense"),
        match(86_350, 86_500, "late", "Late", "Night", album="A", record_label="B"),
        *(
            Repeat(*placed(NORTH, 40_000 + 3600 * n, 40_030 + 3600 * n), "59ffb420f9", n + 1, 0,
                   "music", "song")
            for n in range(3)
        ),
        Repeat(*placed(NORTH, 50_000, 50_020), "named", 2, 0, "speech", "jingle", "Our jingle"),
        *(
            Level(*placed(NORTH, start, start + 300), -90.0 if start < 9000 else -20.0, (-20.0,),
                  -3.0, None, None, None, None, 0, 0.0, (), frozen=False)
            for start in range(7200, 10_800, 300)
        ),
        segment(0, 3600, "music", HOSTILE),
        match(10, 200, "formula", FORMULA, "+Artist", station=HOSTILE),
        match(-9000, -8800, "formula", FORMULA, "+Artist", station=HOSTILE),
    ]  # fmt: skip
    return found


def alarm(start_s: float, end_s: float, rule: str, *, final: bool) -> Row:
    """Return what is stored of an alarm."""
    event = Gap(*placed(NORTH, start_s, end_s), "")
    fields = event.to_dict() | {
        "schema": "airsift.alarm/1", "id": f"{NORTH}/alarm/{event.start}/{rule}", "rule": rule,
        "severity": "critical", "final": final, "text": f"{rule} <i>",
    }  # fmt: skip
    return row_of_fields(fields, "alarm", RATE)


ALARMS = [
    alarm(-9000, -8000, "before", final=True),
    alarm(-7000, -7000, "still_open", final=False),
    alarm(10_830, 10_920, "silent_stream", final=True),
]


def base_of(folder: Path) -> Base:
    """Return a history with the events."""
    base = Base(folder / "history.db")
    with base.writer() as writer:
        writer.write([*(row_of(event) for event in events()), *ALARMS])
    return base


def report_of(base: Base, since_s: int = 0, until_s: int = 86_400, *, stations=(NORTH, HOSTILE)):
    """Return the report of a part of the day."""
    since, until = (DAY + since_s) * 1000, (DAY + until_s) * 1000
    with base.history() as history:
        found = [report_station(history, name, since, until, BERLIN, -60.0) for name in stations]
    return Report(since, until, (DAY + 100_000) * 1000, BERLIN, found)
