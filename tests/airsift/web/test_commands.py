"""``airsift run --web`` and ``airsift demo --web``: the page of what runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from airsift.web.feed import Feed
from stream.testing import programme, write_wav
from tests.airsift.web.serve import Client, answers, until

pytestmark = [pytest.mark.process, pytest.mark.slow]


@contextlib.contextmanager
def started(*arguments: object, **streams: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "airsift", *map(str, arguments), "--set", "web.port=0"]
    with subprocess.Popen(command, text=True, **streams) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def client_at(url: str) -> Client:
    client = Client(url, Feed())
    until(lambda: answers(client))
    return client


def labels_of(client: Client, station: str) -> set[str]:
    found = client.json(f"/api/timeline?station={station}&since=0&until=2000000000")
    return {span[2] for span in found["labels"]}


def test_a_running_process_shows_its_stations_until_it_ends(tmp_path: Path) -> None:
    fifo = tmp_path / "radio.wav"
    audio = write_wav(tmp_path / "a.wav", programme(40)).read_bytes()
    os.mkfifo(fifo)
    options = "--source", fifo, "--station", "radio", "--sink", f"jsonl:{tmp_path / 'events'}"
    with started("run", *options, "--web", stderr=subprocess.PIPE) as process:
        going_on, holding = threading.Event(), threading.Event()

        def send() -> None:
            with fifo.open("wb") as pipe:
                pipe.write(audio[: len(audio) // 2])
                pipe.flush()
                going_on.wait(60)
                pipe.write(audio[len(audio) // 2 :])
                pipe.flush()
                holding.wait(60)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        assert process.stderr is not None
        line = next(line for line in process.stderr if "the page is at" in line)
        client = client_at(line.split()[-1])
        until(lambda: labels_of(client, "radio") != set(), 60)
        assert client.json("/api/about")["spectrum"] is True
        with client.socket("/api/spectrum/ws?station=radio") as seen:
            going_on.set()
            assert json.loads(seen.recv(timeout=60)) == {"bins": 144, "columns_per_s": 25}
            columns = seen.recv(timeout=60)
            assert len(columns) % 144 == 0
            assert max(columns) > 50
        until(lambda: labels_of(client, "radio") >= {"speech", "music"}, 60)
        holding.set()
        assert process.wait(30) == 0
        assert not answers(client)


@pytest.mark.long
def test_the_demo_shows_both_stations_and_stays_until_it_is_told(tmp_path: Path) -> None:
    with started("demo", "--speed", "25", "--web", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        client = client_at(process.stdout.readline().split()[-1])
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "The page stays" in line:
                break
        found = {each["name"]: each for each in client.json("/api/stations")["stations"]}
        assert set(found) == {"north", "south"}
        for station in found.values():
            assert station["now"]["level"]["level_dbfs"] < 0
            until_ms = station["head_ms"] + 1
            query = f"station={station['name']}&since={until_ms - 3_600_000}&until={until_ms}"
            line = client.json(f"/api/timeline?{query}")
            assert {span[2] for span in line["labels"]} >= {"speech", "music"}
            assert line["songs"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
