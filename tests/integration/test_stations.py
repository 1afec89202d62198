"""`airsift run --stations`: many web radios in one process, as an operator runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stream.testing import write_wav
from tests.integration.road import tune
from tests.stream.radio_server import Listener, Station, programme
from tests.stream.web_server import Answer, Request, radio
from tests.waiting import wait_until

COMMAND = [sys.executable, "-m", "airsift", "run", "--set", "http.allow_private=true"]
FAST = ["--set", "http.max_backoff_s=0.5", "--set", "run.checkpoint_s=0.5"]


def entry(name: str, source: str) -> str:
    quoted = json.dumps(name, ensure_ascii=False)  # TOML has no pairs of surrogates
    return f'[[stations]]\nname = {quoted}\nsource = "{source}"\n'


def events(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def decisions(path: Path) -> Counter[str]:
    """Return how many final decisions each station has."""
    found = (e for e in events(path) if e["schema"] == "airsift.decision/1" and e["final"])
    return Counter(event["station"] for event in found)


@contextmanager
def running(listed: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    with (listed.parent / "log").open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, *FAST, "--stations", str(listed), "--sink", f"jsonl:{out}"],
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def in_turns(listener: Listener) -> None:
    """Send twice a second: two hundred threads that send at every moment would be the load."""
    listener.play(1e9, every_s=0.5)


def gone(request: Request) -> None:
    request.head(404)


@pytest.mark.process
@pytest.mark.slow
def test_stations_of_all_kinds_come_and_go_while_one_plays_on(tmp_path: Path) -> None:
    sound, listed, out = tmp_path / "tune.wav", tmp_path / "stations.toml", tmp_path / "out.jsonl"
    write_wav(sound, tune(8))
    answers: dict[str, Answer] = {
        "/steady": Station(programme(120, 1), burst_s=2),
        "/other": Station(programme(120, 2), burst_s=2),
        "/gone": gone,
    }

    def log() -> str:
        return (tmp_path / "log").read_text()

    with radio(answers) as (url, _):
        steady = entry('steady/"1" 🎧', f"{url}/steady")
        wrong = entry("wrong", "ftp://x")
        listed.write_text(steady + entry("gone", f"{url}/gone") + entry("tape", "tune.wav") + wrong)
        with running(listed, out) as process:
            wait = partial(wait_until, process=process, why=log)
            wait(lambda: decisions(out)['steady/"1" 🎧'] >= 2 and decisions(out)["tape"] == 4)
            assert "station 4 wrong is left out" in log()
            # A file watch finds the one, SIGHUP the other.
            listed.write_text(steady + entry("other", f"{url}/other"))
            wait(lambda: decisions(out)["other"] >= 1)
            listed.write_text(steady)
            process.send_signal(signal.SIGHUP)
            wait(
                lambda: any(
                    e["station"] == "other" and e.get("final")
                    for e in events(out)
                    if e["schema"] == "airsift.segment/1"
                )
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log()
    assert log().count("no audio") == 1, log()  # however often it is tried
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events(out):
        if event["schema"] == "airsift.decision/1" and event["final"]:
            found[event["station"]].append(event)
    starts = [event["start_sample"] for event in found['steady/"1" 🎧']]
    # The first window begins where the audio does, the others with whole seconds.
    assert starts[1:] == [starts[1] + 16_000 * i for i in range(len(starts) - 1)]
    assert starts[1] % 16_000 == 0
    assert starts[0] / 16_000 > 1.7e9  # counted from 1970
    assert [event["start_s"] for event in found["tape"]] == [0.0, 1.0, 2.0, 3.0]
    ended = {e["station"] for e in events(out) if e["schema"] == "airsift.segment/1" and e["final"]}
    assert ended == {'steady/"1" 🎧', "other", "tape"}


@pytest.mark.process
@pytest.mark.long
@pytest.mark.timeout(300)
def test_two_hundred_web_radios_in_one_process(tmp_path: Path) -> None:
    listed, out = tmp_path / "stations.toml", tmp_path / "out.jsonl"
    stations = [Station(programme(180, seed), burst_s=2, script=in_turns) for seed in range(10)]
    answers: dict[str, Answer] = {f"/{i}": station for i, station in enumerate(stations)}
    # Every twentieth breaks off again and again; the others must not notice.
    answers["/broken"] = Station(programme(180, 99), script=lambda listener: listener.play(1.0))
    names = [f"radio {i}" for i in range(200)]
    broken = set(names[::20])
    with radio(answers) as (url, _):
        listed.write_text(
            "".join(
                entry(name, f"{url}/{'broken' if name in broken else i % 10}")
                for i, name in enumerate(names)
            )
        )
        with running(listed, out) as process:
            wait_until(
                lambda: all(decisions(out)[name] >= 8 for name in names if name not in broken),
                240,
                process=process,
                why=lambda: decisions(out),
            )
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    gaps = {e["station"] for e in events(out) if e["schema"] == "airsift.gap/1"}
    assert gaps <= broken
