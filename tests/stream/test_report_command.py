"""`airsift report`, on SQLite and on PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from stream.events import Segment
from stream.history.rows import row_of
from tests.airsift.reported import BERLIN, HOSTILE, NORTH, events
from tests.command import airsift
from tests.stream.databases import Base

RATE = 16_000


@pytest.fixture
def filled(base: Base) -> Base:
    with base.writer() as writer:
        writer.write([row_of(event) for event in events()])
    return base


def report(base: Base, *arguments: object, code: int = 0):
    done = airsift(
        "report", "--set", f"database.url={base.url}", "--tz", "Europe/Berlin", *arguments
    )
    assert done.returncode == code, done.stderr
    return done


DAY = ("--from", "2026-11-28", "--to", "2026-11-28")


def test_the_same_from_both_databases(filled):
    found = json.loads(report(filled, *DAY, "--format", "json").stdout)
    assert [each["station"] for each in found["stations"]] == sorted([NORTH, HOSTILE])
    [north] = [each for each in found["stations"] if each["station"] == NORTH]
    keys = ("uptime", "music_s", "silence_s", "gap_s", "plays", "new_tracks", "unnamed_music_s")
    assert [north[key] for key in keys] == [0.998611, 79_080, 1800, 120, 4, 3, 78_370]
    assert found["stations"][1 - found["stations"].index(north)]["uptime"] == round(1 / 24, 6)


def test_files_and_their_formats(filled, tmp_path: Path):
    page = tmp_path / "day.html"
    assert report(filled, *DAY, "--output", page).stdout == f"{page}\n"
    assert page.read_text().startswith("<!DOCTYPE html>")
    table = tmp_path / "hours.csv"
    report(filled, *DAY, "--station", NORTH, "--table", "hours", "--output", table)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert len(rows) == 24
    assert sum(float(row["speech_s"]) for row in rows) == 3500
    report(
        filled, *DAY, "--station", NORTH, "--format", "soundexchange", "--output", tmp_path,
        "--field", "TransmissionCategory=B", "--field", "AggregateTuningHours=10",
    )  # fmt: skip
    assert (tmp_path / "RadioNorth28112026-28112026.txt").exists()


def test_a_group_of_a_file_of_stations(filled, tmp_path: Path):
    listed = tmp_path / "stations.toml"
    listed.write_text(
        f'[[stations]]\nname = "{NORTH}"\nsource = "http://127.0.0.1/a"\ngroup = "west"\n'
        '[[stations]]\nname = "Other"\nsource = "http://127.0.0.1/b"\ngroup = "west"\n'
    )
    group = ("--stations", listed, "--group")
    found = json.loads(report(filled, *DAY, *group, "west", "--format", "json").stdout)
    assert [each["station"] for each in found["stations"]] == [NORTH]
    done = report(filled, *DAY, *group, "east", code=1)
    assert "--group east: no station of" in done.stderr
    assert "it has west" in done.stderr


@pytest.mark.parametrize(
    ("day", "count"), [("2026-03-29", 23), ("2026-03-30", 24), ("2026-10-25", 25)]
)
def test_days_on_which_clocks_are_set(tmp_path: Path, day, count):
    base = Base(tmp_path / "history.db")
    begin = datetime.fromisoformat(day).replace(tzinfo=BERLIN).timestamp() - 7200
    start, length = round(begin) * RATE, 30 * 3600 * RATE
    with base.writer() as writer:
        writer.write([row_of(Segment("r", start, start + length, RATE, begin, "music", 0.9, True))])
    done = report(base, "--from", day, "--format", "csv", "--table", "hours")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == count
    assert {row["music_s"] for row in rows} == {"3600.0"}
    [whole] = csv.DictReader(
        io.StringIO(report(base, "--from", day, "--format", "csv", "--table", "days").stdout)
    )
    assert float(whole["music_s"]) == count * 3600
    zone = ZoneInfo("UTC")
    assert datetime.fromisoformat(whole["end"]).astimezone(zone) > datetime.fromisoformat(
        day + "T00:00+00:00"
    )


def test_the_format_is_that_of_the_ending_in_any_case(filled, tmp_path: Path):
    report(filled, *DAY, "--output", tmp_path / "DAY.CSV")
    assert (tmp_path / "DAY.CSV").read_text().startswith("station,begin,")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--station", "Radio Nort"), "did you mean Radio North?"),
        (("--from", "2190-01-01"), "--from 2190-01-01: 2190-01-01 00:00 is still to come"),
        (
            ("--from", "2026-11-28", "--to", "2026-11-27"),
            "--to 2026-11-27: is 2026-11-28 00:00, not",
        ),
        (("--table", "songs", "--format", "csv"), "must be one of playlist, tracks"),
        (("--table", "hours"), "--format html has all tables"),
        (("--field", "a=b"), "is for --format soundexchange and ddex alone"),
        (("--clips", "/nowhere"), "--clips /nowhere: is no folder"),
        (("--clips", "/tmp", "--format", "csv"), "is for --format html alone"),
        (("--group", "west"), "--group and --stations belong together"),
        ((*DAY, "--format", "ddex"), "needs --field SenderPartyId"),
        (
            ("--from", "2026-11-28 15:00", "--to", "2026-11-28", "--format", "soundexchange"),
            "reports whole days",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, arguments, reason):
    base = Base(tmp_path / "history.db")
    with base.writer() as writer:
        writer.write([row_of(event) for event in events()])
    done = report(base, *arguments, code=1)
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_period_that_is_not_over_ends_now(filled):
    done = report(filled, "--from", "2026-11-28", "--to", "2199-12-30", "--format", "csv")
    assert "the period is not over" in done.stderr
