from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from stream.events import Gap, Match, Repeat, Segment
from stream.history.address import open_engine
from stream.history.rows import row_of
from stream.testing import programme, write_wav
from tests.command import airsift
from tests.stream.databases import Base

RATE = 16_000
AFTERNOON = int(datetime(2026, 11, 29, 14, tzinfo=UTC).timestamp())  # 15:00 in Berlin
HOSTILE = "Süd/😀 <b>'; DROP TABLE x; --\x1b[2J"


def placed(start_s, end_s, station="Radio North"):
    begin = AFTERNOON + start_s
    return station, begin * RATE, (AFTERNOON + end_s) * RATE, RATE, float(begin)


def segment(start_s, end_s, label, station="Radio North", **more):
    return Segment(*placed(start_s, end_s, station), label, 0.98, True, **more)


def match(start_s, end_s, track, title, artist, *, final=True, **more):
    return Match(*placed(start_s, end_s), track, title, artist, 0, 7.25, final=final, **more)


EVENTS = [
    segment(0, 60, "speech", voice="female", voice_score=0.9),
    segment(60, 72, "speech_over_music"),
    segment(72, 280, "music"),
    segment(280, 300, "speech_over_music"),
    match(
        61, 290, "orbital", "Orbital Elevator", "Maxstack (Max McCracken)", album="Skyhook",
        record_label="Own", isrc="DEA123456789",
    ),
    segment(300, 510, "music"),
    match(310, 500, "warm", "Warm Ink, with a title that no terminal is wide enough for", "_ghost"),
    Gap(*placed(510, 530), "connection lost"),
    segment(530, 600, "speech"),
    Repeat(*placed(540, 560), "59ffb420f9", 3, 0, "music", "advert"),
    segment(0, 600, "music", HOSTILE),
    Segment("talk.mp3", 0, 36 * RATE, RATE, None, "speech", 0.99, True),
]  # fmt: skip


@pytest.fixture
def filled(base: Base) -> Base:
    with base.writer() as writer:
        writer.write([row_of(event) for event in EVENTS])
    return base


def history(base, *arguments, code=0):
    done = airsift(
        "history", "--set", f"database.url={base.url}", "--tz", "Europe/Berlin", *arguments
    )
    assert done.returncode == code, done.stderr
    return done


def test_what_a_station_played_at_a_time(filled):
    done = history(filled, "--station", "Radio North", "--at", "2026-11-29 15:04")
    assert done.stdout == (
        "Radio North, Sun 2026-11-29 15:04:00 CET\n"
        "song     Maxstack (Max McCracken) - Orbital Elevator\n"
        "         Skyhook, Own (ISRC DEA123456789)\n"
        "         15:01:01 - 15:04:50, 3:49; 2:59 into it\n"
        "         3:28 clear, 0:21 under speech\n"
        "label    15:01:12 - 15:04:40  music 0.98\n"
    )


def test_the_same_for_machines(filled):
    done = history(filled, "--station", "Radio North", "--at", "2026-11-29T14:04Z", "--json")
    answer = json.loads(done.stdout)
    [song] = answer["matches"]
    published = EVENTS[4].to_dict()
    assert {name: song[name] for name in published} == published
    assert (song["foreground_s"], song["under_speech_s"], song["other_s"]) == (208, 21, 0)
    assert answer["at"] == "2026-11-29T15:04:00.000+01:00"
    assert [each["label"] for each in answer["segments"]] == ["music"]
    assert answer["gaps"] == answer["shares"] == answer["repeats"] == []


def test_a_gap_and_a_time_without_anything_are_told(filled):
    done = history(filled, "--station", "Radio North", "--at", "2026-11-29 15:08:40")
    assert done.stdout.endswith("gap      15:08:30 - 15:08:50  connection lost\n")
    done = history(filled, "--station", "Radio North", "--at", "2026-11-29 18:00")
    assert "nothing is stored of this time; its history begins 2026-11-29 15:00" in done.stdout
    done = history(filled, "--station", "talk.mp3", "--at", "2026-11-29 18:00")
    assert "its events are those of a file" in done.stdout


def test_a_list_fits_a_terminal_of_80_columns(filled, monkeypatch):
    monkeypatch.setattr("airsift.cli.history_text.is_terminal", lambda _: True)
    monkeypatch.setattr("airsift.cli.history_text.size_of", lambda _: (80, 24))
    done = history(filled, "--station", "Radio North", "--since", "2026-11-29", "--kind", "match")
    assert done.stdout.splitlines() == [
        "begin     end        length  what                           clear + under speech",
        "Sun 2026-11-29 CET",
        "15:01:01  15:04:50     3:49  song: Maxstack (Max McCracken) - Orbi…  3:28 + 0:21",
        "15:05:10  15:08:20     3:10  song: _ghost - Warm Ink, with a title…  3:10 + 0:00",
    ]
    done = history(filled, "--since", "2026-11-29")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert "\n15:00:00  15:01:00" not in done.stdout  # each line names its station


def test_a_list_in_a_pipe_is_whole(filled):
    done = history(filled, "--station", "Radio North", "--since", "2026-11-29 15:05")
    assert done.stdout.splitlines()[2:] == [
        "15:05:00  15:08:30     3:30  music 0.98",
        "15:05:10  15:08:20     3:10  song: _ghost - Warm Ink, with a title that no terminal is "
        "wide enough for  3:10 + 0:00",
        "15:08:30  15:08:50     0:20  gap: connection lost",
        "15:08:50  15:10:00     1:10  speech 0.98",
    ]


def test_csv(filled):
    done = history(filled, "--track", "MAXSTACK", "--csv")
    [row] = csv.DictReader(io.StringIO(done.stdout))
    assert row["begin"] == "2026-11-29T15:01:01.000+01:00"
    assert row["end"] == "2026-11-29T15:04:50.000+01:00"
    assert (row["length_s"], row["foreground_s"], row["under_speech_s"]) == (
        "229.0",
        "208.0",
        "21.0",
    )
    assert (row["isrc"], row["final"]) == ("DEA123456789", "true")
    done = history(filled, "--kind", "gap", "--since", "2026-11-29", "--csv")
    [gap, *_] = csv.DictReader(io.StringIO(done.stdout))
    assert gap["reason"] == "connection lost"


def test_json_lines_are_the_events(filled):
    done = history(filled, "--since", "2026-11-29", "--json", "--kind", "segment", "--kind", "gap")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = (Segment, Gap)
    expected = [event.to_dict() for event in EVENTS if isinstance(event, kinds) and event.time]
    assert sorted(lines, key=repr) == sorted(expected, key=repr)
    assert "\x1b" not in done.stdout


def test_labels(filled):
    done = history(filled, "--label", "speech_over_music", "--since", "2026-11-29")
    assert done.stdout.count("speech over music") == 2
    assert "song" not in done.stdout.partition("\n")[2]


def test_the_events_of_a_file_have_positions(filled):
    done = history(filled, "--station", "talk.mp3")
    assert done.stdout.splitlines()[1:] == [
        "Without a date", "00:00     00:36        0:36  speech 0.99",
    ]  # fmt: skip


def test_without_options_the_stations_are_listed(filled):
    done = history(filled)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert "2026-11-29 15:00  2026-11-29 15:09  gap, match, repeat, segment" in lines[1]
    assert "\x1b" not in done.stdout
    rows = [json.loads(line) for line in history(filled, "--json").stdout.splitlines()]
    assert [row["station"] for row in rows] == ["Radio North", HOSTILE, "talk.mp3"]
    assert rows[2]["first"] is None


def test_a_name_that_is_not_there_is_told_with_the_nearest(filled):
    done = history(filled, "--station", "radio north", code=1)
    assert "did you mean Radio North?" in done.stderr
    assert "nothing is stored" in history(filled, "--track", "nobody").stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--at", "2026-11-29 15:04"], "--at needs one --station; 3"),
        (["--at", "soon", "--station", "talk.mp3"], "is no time that is known"),
        (["--since", "yesterday", "--until", "2026-11-28"], "not after --since"),
        (["--at", "now", "--since", "now"], "leave out --since"),
        (["--json", "--csv"], "choose one"),
        (["--since", ""], "'' is no time"),
        (["--until", " "], "' ' is no time"),
        (["--at", ""], "'' is no time"),
        (["--label", ""], "--label: is empty"),
        (["--track", " "], "--track: is empty"),
        (["--station", ""], "nothing is stored of it"),
        (["--tz", "Europe/Nowhere"], "no such zone"),
        (["--kind", "alarms"], "--kind alarms: must be one of decision, segment,"),
        (["--set", "database.url=mysql://u:s3cret@h/x"], "mysql is no known kind"),
        (["--set", "database.url=/nowhere/h.db"], "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path, arguments, why):
    base = Base(tmp_path / "h.db")
    with base.writer() as writer:
        writer.write([row_of(event) for event in EVENTS])
    done = history(base, *arguments, code=1)
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr


def test_clocks_that_are_set_back_are_told(filled):
    done = history(filled, "--since", "2026-10-25 02:30")
    assert "comes twice" in done.stderr
    assert done.stdout.count("\n") > 5


@pytest.mark.slow
def test_from_a_run_to_the_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "a.wav", programme(30))
    done = airsift("run", "--source", "a.wav", "--sink", "database", "--sink", "jsonl:a.jsonl")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    last = {event["id"]: event for event in events if "label" in event}
    done = airsift("history", "--station", "a.wav", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == list(last.values())
    assert not list((tmp_path / "airsift-spool").iterdir())


def test_without_its_libraries_the_way_to_them_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "airsift.connect.find_spec", lambda name: None if name == "sqlalchemy" else True
    )
    done = airsift("history", "--set", f"database.url={tmp_path / 'h.db'}")
    assert done.returncode == 1
    assert "pip install 'airsift[history]'" in done.stderr


def test_a_relative_file_is_beside_its_configuration(tmp_path, monkeypatch):
    folder = tmp_path / "etc"
    folder.mkdir()
    with Base(folder / "h.db").writer() as writer:
        writer.write([row_of(EVENTS[0])])
    (folder / "a.toml").write_text('[database]\nurl = "h.db"\n')
    monkeypatch.chdir(tmp_path)
    done = airsift("history", "--config", folder / "a.toml")
    assert "Radio North" in done.stdout, done.stderr


def test_the_address_is_a_secret_of_the_configuration(tmp_path):
    done = airsift("config", "--set", "database.url=postgresql://me:s3cret@host/db")
    assert done.returncode == 0
    assert "s3cret" not in done.stdout
    (tmp_path / "a.toml").write_text('[database]\nurl = ["s3cret"]\n')
    done = airsift("config", "--config", tmp_path / "a.toml")
    assert done.returncode == 1
    assert "s3cret" not in done.stderr


def test_the_last_day_is_the_default(tmp_path):
    now = datetime.now(UTC)
    base = Base(tmp_path / "h.db")
    ages = [timedelta(hours=1), timedelta(hours=23), timedelta(hours=25)]
    starts = [(now - age).timestamp() for age in ages]
    with base.writer() as writer:
        writer.write(
            [
                row_of(Gap("r", round(s) * RATE, round(s) * RATE + 1, RATE, s, f"{n}"))
                for n, s in enumerate(starts)
            ]
        )
    reasons = [
        json.loads(line)["reason"]
        for line in history(base, "--station", "r", "--json").stdout.splitlines()
    ]
    assert reasons == ["1", "0"]


def test_the_queries_of_the_page_run(filled):
    page = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    engine = open_engine(filled.address, connect_timeout_s=2, read_only=True)
    with engine.connect() as connection:
        labels, songs = (connection.execute(text(query)).all() for query in queries)
    engine.dispose()
    assert ("Radio North", "music", 418) in [tuple(row) for row in labels]
    assert ("Maxstack (Max McCracken)", "Orbital Elevator", 1, 229) in map(tuple, songs)
