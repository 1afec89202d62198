"""Alarms from the outside: both drivers over a broker, and many stations in one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.testing import noise, write_wav
from tests.integration.road import AIRSIFT, DRIVERS, RATE, end, make_environment, publish, start
from tests.stream.alarm_hooks import Hook, hook
from tests.stream.radio_server import Station, programme
from tests.stream.web_server import Answer, Request, radio
from tests.waiting import wait_until

LIST = """
[[stations]]
name = "a"
source = "kafka"
group = "north"

[[stations]]
name = "never"
source = "kafka"
"""


def with_alarms(environment: dict[str, str], webhook: str, **more: str) -> dict[str, str]:
    """Return an environment in which alarms are posted to a webhook."""
    sets = {
        "LEVELS__ENABLED": "true",
        "ALARMS__ENABLED": "true",
        "ALARMS__WEBHOOK__URLS": f'["{webhook}"]',
        "ALARMS__RULES__DEAD_AIR__DELAY_S": "5",
        "ALARMS__RULES__GONE__DELAY_S": "4",
        "ALARMS__RULES__MISSING__DELAY_S": "4",
        **more,
    }
    return {**environment, **{f"AIRSIFT_{name}": value for name, value in sets.items()}}


def told(server: Hook, rule: str, *, final: bool) -> list[dict[str, Any]]:
    return [e for e in server.documents() if e["rule"] == rule and e["final"] == final]


@pytest.mark.process
@pytest.mark.long
@pytest.mark.parametrize("driver", DRIVERS)
def test_alarms_have_the_same_ids_after_a_kill(
    driver: str, new_broker: Any, tmp_path: Path
) -> None:
    broker = new_broker()
    sound = noise(40.0, level=0.3)
    sound[12 * RATE : 30 * RATE] = 0
    write_wav(tmp_path / "a.wav", sound)
    write_wav(tmp_path / "b.wav", sound[: 5 * RATE])
    (tmp_path / "list.toml").write_text(LIST, encoding="utf-8")
    with hook() as server:
        environment = with_alarms(
            make_environment(broker, 1), server.url, ALARMS__STATIONS=str(tmp_path / "list.toml")
        )
        process = start(driver, environment)
        try:
            wait_until(lambda: told(server, "missing", final=False), process=process)
            assert publish(environment, tmp_path / "a.wav", "a", "--speed", "2").returncode == 0
            wait_until(lambda: told(server, "dead_air", final=False), process=process)
            process.kill()
            process.wait(10)
            assert process.stderr is not None
            process.stderr.close()
            process = start(driver, environment)
            wait_until(lambda: told(server, "dead_air", final=True), process=process)
            # The worker takes up the stations of a partition with its first message.
            assert publish(environment, tmp_path / "b.wav", "b", "--fast").returncode == 0
            wait_until(lambda: told(server, "gone", final=False), process=process)
        finally:
            code = end(process)
        assert code == 0
    tail = subprocess.run(
        [*AIRSIFT, "tail", "--from-start", "--until-end", "--json", "--topic", "alarms"],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    published = [json.loads(line) for line in tail.stdout.splitlines()]
    last: dict[str, dict[str, Any]] = {event["id"]: event for event in published}
    mine = [event for event in last.values() if event["station"] == "a"]
    assert {(e["rule"], e["final"]) for e in mine} >= {("dead_air", True), ("gone", False)}
    assert sum(e["rule"] == "dead_air" for e in mine) == 1
    [dead] = [e for e in mine if e["rule"] == "dead_air"]
    assert dead["end_s"] - dead["start_s"] == pytest.approx(18, abs=1.0)
    assert dead["group"] == "north"
    assert {e["id"] for e in server.documents()} <= last.keys()
    assert {e["rule"] for e in last.values() if e["station"] == "never"} == {"missing"}


def gone(request: Request) -> None:
    request.head(404)


@pytest.mark.process
@pytest.mark.slow
def test_stations_of_a_list(tmp_path: Path) -> None:
    listed, out, log = tmp_path / "stations.toml", tmp_path / "out.jsonl", tmp_path / "log"
    silent = np.concatenate([programme(4, 1), np.zeros(120 * RATE, np.float32)])
    answers: dict[str, Answer] = {
        "/silent": Station(silent, burst_s=2), "/gone": gone,
        "/steady": Station(programme(120, 2), burst_s=2),
    }  # fmt: skip
    with radio(answers) as (url, _), hook() as good, hook() as hanging:
        hanging.hangs = True

        def entry(name: str, more: str = "") -> str:
            return f'[[stations]]\nname = "{name}"\nsource = "{url}/{name}"\n{more}\n'

        steady, dead = entry("steady"), entry("silent", "alarms.dead_air.delay_s = 2")
        listed.write_text(steady + dead + entry("gone"), encoding="utf-8")
        environment = with_alarms(make_environment_alone(), good.url)
        environment["AIRSIFT_ALARMS__CLIPS__FOLDER"] = str(tmp_path / "clips")
        environment["AIRSIFT_ALARMS__WEBHOOK__URLS"] = f'["{hanging.url}", "{good.url}"]'
        command = [*AIRSIFT, "run", "--stations", str(listed), "--sink", f"jsonl:{out}"]
        with log.open("w") as lines:
            process = subprocess.Popen(command, env=environment, stderr=lines)
        wait = partial(wait_until, process=process, why=log.read_text)
        try:
            wait(lambda: told(good, "missing", final=False))
            wait(lambda: told(good, "dead_air", final=False))
            listed.write_text(steady + dead, encoding="utf-8")
            wait(lambda: told(good, "missing", final=True))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()
            process.wait(10)
    events = [json.loads(line) for line in out.read_text().splitlines()]
    alarms = [e for e in events if e["schema"] == "airsift.alarm/1"]
    found = [(e["station"], e["rule"], e["reason"]) for e in alarms]
    assert ("gone", "missing", "withdrawn") in found
    assert ("silent", "dead_air", "ended") in found
    assert len({e["id"] for e in alarms if e["rule"] == "dead_air"}) == 1
    assert [each for each in found if each[0] == "steady"] == []
    opened = next(e for e in alarms if e["rule"] == "dead_air")
    [kept] = (tmp_path / "clips").glob("*/*.json")
    assert json.loads(kept.read_text()) == opened
    assert kept.with_suffix(".wav").stat().st_size > 5 * 2 * RATE
    assert opened["time"] is not None
    assert opened["end_s"] - opened["start_s"] < 4.0


def make_environment_alone() -> dict[str, str]:
    """Return the environment of a process without a broker."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
