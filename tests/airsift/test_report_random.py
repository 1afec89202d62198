"""Reports of random histories: whatever is stored, what is counted twice or left out is nothing."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airsift.cli.report import csv_of
from airsift.reports.airtime import LABELS, MUSIC, STATES
from airsift.reports.page import page_of
from airsift.reports.report import Report, report_station
from airsift.reports.tables import Part, as_object, table_of
from stream.events import Event, Gap, Level, Match, Segment
from stream.history.rows import row_of
from tests.stream.databases import Base

RATE = 16_000
# 2026-10-25 00:00 and 2026-03-29 00:00 in Berlin, and a day without a change of clocks.
DAYS = (1_792_879_200, 1_774_738_800, 1_795_906_800)
HOUR = 3600
TEXTS = st.sampled_from(
    [
        "",
        "=1+1",
        '=HYPERLINK("http://x.example","y")',
        "@SUM(A1)",
        "\t=1",
        "-2",
        "<b>&",
        "|^",
        "ö😀",
    ]
)
SECONDS = st.integers(-2 * HOUR * 10, 27 * HOUR * 10).map(lambda tenths: tenths / 10)
LENGTHS = st.sampled_from([0.0, 0.1, 1.0, 30.0, 200.0, 4000.0])
WHEN = st.tuples(SECONDS, LENGTHS)


def placed(day: int, when: tuple[float, float]) -> tuple[str, int, int, int, float]:
    begin = day + when[0]
    return "radio", round(begin * RATE), round((begin + when[1]) * RATE), RATE, begin


def segment(day: int, when: tuple[float, float], label: str, final: bool) -> Event:
    return Segment(*placed(day, when), label, 0.9, final)  # type: ignore[arg-type]


def match(day: int, when: tuple[float, float], track: int, start: float, *texts: str) -> Event:
    title, artist, album, isrc, label = texts
    return Match(
        *placed(day, when), f"t{track}", title, artist, round(start * RATE), 3.0, final=True,
        album=album, isrc=isrc, record_label=label,
    )  # fmt: skip


def level(day: int, when: tuple[float, float], dbfs: float) -> Event:
    return Level(*placed(day, when), dbfs, (dbfs,), -3.0, None, None, None, None, 0, 0.0, (), False)


def events(day: int) -> st.SearchStrategy[list[Event]]:
    """Return a strategy of what is stored of a station, in any order and overlapping."""
    labels = st.sampled_from(["speech", "music", "speech_over_music", "other", "own label"])
    return st.lists(
        st.one_of(
            st.builds(segment, st.just(day), WHEN, labels, st.booleans()),
            st.builds(
                match, st.just(day), WHEN, st.integers(0, 3), st.floats(0, 300), *[TEXTS] * 5
            ),
            st.builds(lambda when: Gap(*placed(day, when), "stall"), WHEN),
            st.builds(level, st.just(day), WHEN, st.sampled_from([-90.0, -20.0])),
        ),
        max_size=25,
    )


def report_of(base: Base, since: int, until: int) -> Report:
    zone = ZoneInfo("Europe/Berlin")
    with base.history() as history:
        station = report_station(history, "radio", since, until, zone, -60.0)
    return Report(since, until, until, zone, [station])


def sums(report: Report) -> list[int]:
    """Return all that adds up."""
    [station] = report.stations
    return [
        *(station.total[state] for state in STATES),
        station.unnamed_ms,
        sum(each.plays for each in station.rotation),
        *(
            sum(getattr(play, f"{part}_ms") for play in station.plays)
            for part in ("foreground", "under_speech", "other")
        ),
    ]


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), day=st.sampled_from(DAYS))
def test_all_that_is_counted_adds_up(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, day: int
) -> None:
    base = Base(tmp_path_factory.mktemp("random") / "h.db")
    stored = data.draw(events(day))
    with base.writer() as writer:
        writer.write([row_of(each) for each in [*stored, segment(day, (0.0, 1.0), "other", True)]])
    edges = sorted(data.draw(st.sets(st.integers(-1800, 26 * HOUR), min_size=2, max_size=4)))
    times = [(day + edge) * 1000 for edge in edges]
    whole = report_of(base, times[0], times[-1])
    [station] = whole.stations
    length = times[-1] - times[0]
    # The states of hours and days add up to the period, and the labels to what was heard.
    assert sum(station.total.values()) == length
    for parts in (station.hours, station.days):
        assert {s: sum(each.sums[s] for each in parts) for s in STATES} == station.total
        assert all(sum(e.sums.values()) == e.part.end - e.part.start for e in parts)
        assert sum(each.plays for each in parts) == sum(not p.continued for p in station.plays)
    assert station.heard_ms == sum(station.total[label] for label in LABELS)
    # Each play has its parts, and no part of it is outside of the period or there twice.
    for play in station.plays:
        assert min(play.foreground_ms, play.under_speech_ms, play.other_ms) >= 0
        assert play.heard_ms <= min(play.end, times[-1]) - max(play.begin, times[0]) or (
            play.heard_ms == 0
        )
    for each in station.rotation:
        own = [play for play in station.plays if play.key == each.key]
        assert each.heard_ms == sum(play.heard_ms for play in own)
        assert each.plays == sum(not play.continued for play in own)
    music = sum(station.total[label] for label in MUSIC)
    assert 0 <= station.unnamed_ms <= music
    # The same in every format, and no cell is computed.
    objects = json.loads(json.dumps(as_object(whole)))["stations"][0]
    for part in Part:
        rows = list(csv.reader(io.StringIO(csv_of(table_of(whole, part)).decode())))
        assert len(rows) - 1 == (1 if part is Part.stations else len(objects[part.value]))
        assert not [cell for row in rows for cell in row if cell.strip()[:1] in {*"=@"}]
    assert b"<b>&zz" not in page_of(whole)
    # However the period is cut, its parts add up to it.
    parts = [sums(report_of(base, *pair)) for pair in pairwise(times)]
    assert [sum(each) for each in zip(*parts, strict=True)] == sums(whole)
