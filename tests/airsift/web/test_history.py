"""The page from a database: what is on, and what was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from airsift.web.feed import Feed, follow_database, following
from stream.events import Event, Gap, Match, Segment
from stream.history.postgres_server import PASSWORD, Postgres
from stream.history.rows import row_of
from stream.lines import to_json
from tests.airsift.web.serve import Client, answers, served, until
from tests.command import airsift
from tests.stream.databases import Base, database_settings

pytestmark = pytest.mark.slow
RATE = 16_000
BEGIN = 1_780_000_000
NAME = "Radio <b>/😀"


def segment(start_s: int, end_s: int, label: str, *, final: bool = True, station=NAME) -> Segment:
    return Segment(
        station,
        start_s * RATE,
        end_s * RATE,
        RATE,
        BEGIN + start_s,
        label,
        0.9,
        final,  # type: ignore[arg-type]
    )


def song(start_s: int, end_s: int, title: str, *, final: bool = True) -> Match:
    return Match(
        NAME, start_s * RATE, end_s * RATE, RATE, BEGIN + start_s, f"key of {title}", title, "Nova",
        0, 9.0, final,
    )  # fmt: skip


EVENTS: list[Event] = [
    segment(0, 60, "speech"), segment(60, 200, "music"), song(70, 190, "Starfall"),
    segment(200, 230, "speech_over_music"), song(180, 230, "Orbit"),
    Gap(NAME, 230 * RATE, 240 * RATE, RATE, BEGIN + 230, "missing"),
    segment(240, 300, "other"), segment(0, 50, "music", station="b"),
]  # fmt: skip


@pytest.fixture
def base(base: Base) -> Base:
    """Return a database of each kind, with events."""
    write(base, EVENTS)
    return base


def write(base: Base, events: list[Event]) -> None:
    with base.writer() as writer:
        writer.open()
        writer.write([row_of(event) for event in events])


@contextmanager
def client_of(base: Base) -> Iterator[Client]:
    with served(f"database.url={to_json(base.url)}", history=True) as client:
        yield client


def test_questions_are_answered_from_the_database(base: Base) -> None:
    with client_of(base) as client:
        found = client.json("/api/stations")["stations"]
        assert [each["name"] for each in found] == sorted([NAME, "b"])
        assert found[0]["stored"]["first_ms"] == BEGIN * 1000

        found = client.json("/api/history?track=starfall")
        assert found["complete"] is True
        [event] = found["events"]
        assert (event["title"], event["foreground_s"], event["under_speech_s"]) == (
            "Starfall",
            120,
            0,
        )

        query = f"station={quote(NAME)}&since={(BEGIN + 100) * 1000}&until={(BEGIN + 250) * 1000}"
        line = client.json(f"/api/timeline?{query}")
        assert [span[2] for span in line["labels"]] == ["music", "speech_over_music", "other"]
        assert [each["title"] for each in line["songs"]] == ["Starfall", "Orbit"]
        assert line["songs"][1]["under_speech_s"] == 30
        assert [gap[2] for gap in line["gaps"]] == ["missing"]

        newest = client.json(f"/api/history?station={quote(NAME)}&kind=segment&limit=2")
        assert [each["label"] for each in newest["events"]] == ["speech_over_music", "other"]
        assert newest["complete"] is False
        assert client.json("/api/history?station=nobody")["events"] == []
        assert client.status("/api/history?track=%25'%20OR%201=1") == 200


def test_what_is_written_later_is_seen(base: Base) -> None:
    with client_of(base) as client:
        assert client.json("/api/history?track=later")["events"] == []
        write(base, [song(400, 500, "Later")])
        assert len(client.json("/api/history?track=later")["events"]) == 1


def test_a_file_that_is_away_is_reported_and_comes_back(tmp_path: Path) -> None:
    base = Base(tmp_path / "history.db")
    write(base, EVENTS)
    with client_of(base) as client:
        Path(base.url).rename(f"{base.url}.away")
        assert client.status("/api/history?track=x") == 400  # there is none at that address
        assert "history.db" in client.json("/api/history?track=x")["error"]
        Path(f"{base.url}.away").rename(base.url)
        assert client.status("/api/history?track=x") == 200


@pytest.mark.process
def test_a_server_that_is_away_is_reported_and_comes_back(postgres: Postgres) -> None:
    base = Base(postgres.emptied())
    write(base, EVENTS)
    with client_of(base) as client:
        assert client.json("/api/about")["history"] == "database"
        assert len(client.json("/api/history?track=starfall")["events"]) == 1
        postgres.stop()
        try:
            for path in ("/api/history?track=starfall", "/api/stations"):
                with client.open(path) as answer:
                    assert answer.status in (400, 503)
                    reason = json.loads(answer.read())["error"]
                assert "database.url=postgresql://" in reason
                assert PASSWORD not in reason
        finally:
            postgres.start()
        assert len(client.json("/api/history?track=starfall")["events"]) == 1


@pytest.mark.process
def test_a_report_of_a_server_is_made_through_the_page(postgres: Postgres) -> None:
    base = Base(postgres.emptied())
    write(base, EVENTS)
    asked = {"from": "2026-05-28", "to": "2026-05-29", "format": "json", "zone": "UTC"}
    headers = {"Content-Type": "application/json"}
    with client_of(base) as client:
        body = json.dumps(asked).encode()
        made = client.json("/api/reports", method="POST", body=body, headers=headers)
        report = client.json(f"/api/reports/{made['id']}")
        assert {each["station"] for each in report["stations"]} == {NAME, "b"}


def test_the_database_is_followed_and_errors_are_survived(base: Base, tmp_path: Path) -> None:
    feed, got = Feed(), []
    settings = database_settings(base.url, tmp_path)

    def titles() -> list[str]:
        got.extend(feed.drain())
        return [event["title"] for event in got if "title" in event]

    with following(feed, follow_database(settings), "database"):
        until(lambda: titles() == ["Starfall", "Orbit"])
        assert len(got) == len(EVENTS)
        write(base, [song(300, 310, "Next", final=False)])
        until(lambda: titles()[-1] == "Next")
        write(base, [song(300, 320, "Next")])
        until(lambda: titles()[-2:] == ["Next", "Next"])
        assert got[-1]["final"] is True
        assert len(got) == len(EVENTS) + 2


def test_a_database_that_is_not_there_is_a_problem_until_it_is(tmp_path: Path) -> None:
    feed = Feed()
    base = Base(tmp_path / "history.db")
    with following(feed, follow_database(database_settings(base.url, tmp_path)), "database"):
        until(lambda: "history.db" in feed.problem)
        write(base, EVENTS)
        until(lambda: len(list(feed.drain())) == len(EVENTS))
        until(lambda: feed.problem == "")


@pytest.mark.process
def test_the_command_serves_a_database_until_a_signal(base: Base) -> None:
    command = [sys.executable, "-m", "airsift", "web", "--database", base.url, "--listen",
               "127.0.0.1:0"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            client = Client(line.split(" at ")[1].split(" ")[0], Feed())
            until(lambda: answers(client))
            with client.socket("/api/wall/ws") as wall:
                names: set[str] = set()
                while names != {NAME, "b"}:
                    message = json.loads(wall.recv(timeout=20))
                    names |= {each["name"] for each in message.get("stations", ())}
                os.kill(process.pid, signal.SIGTERM)
                assert process.wait(20) == 0
        finally:
            process.kill()


def test_wrong_options_are_said_in_one_line(tmp_path: Path) -> None:
    given = {
        (): "--kafka HOST:PORT or --database URL",
        ("--database", tmp_path / "none.db", "--listen", "0.0.0.0:0"): "web.token_file",
        ("--database", tmp_path / "none.db", "--listen", "8080"): "--listen 8080",
    }
    for options, expected in given.items():
        done = airsift("web", *options)
        assert done.returncode == 1
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1
