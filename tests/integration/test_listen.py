"""`airsift listen` and `airsift devices` on PortAudio, in a terminal, as somebody sees them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airsift.web.feed import Feed
from stream.testing import programme, tone
from tests.airsift.web.serve import Client, answers, until
from tests.stream.media import encode
from tests.stream.pulse import null_device, playing, skip_unless_installed
from tests.terminal import AIRSIFT, SIZES, Terminal, run, strange

pytestmark = [pytest.mark.process, pytest.mark.audio, pytest.mark.slow]
FAST = ["--set", "smoothing.min_segment_s=1"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "programme.wav"
    encode(path, programme(240, 48_000), 48_000, "pcm_s16le")
    return path


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, sound: Path) -> Iterator[dict[str, str]]:
    skip_unless_installed()
    with null_device(tmp_path_factory.mktemp("pulse")) as environ, playing(environ, sound):
        yield environ


def shown(seen: Terminal, word: str) -> str:
    """Return the line that begins with a word; empty where there is none."""
    return next((line for line in seen.shown if line.startswith(word)), "")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_heard_is_on_the_screen(
    environ: dict[str, str], size: tuple[int, int], tmp_path: Path
) -> None:
    out = tmp_path / "events.jsonl"

    def listen(seen: Terminal, process: subprocess.Popen[bytes]) -> None:
        seen.wait_for(lambda: "looks for microphones" in "\n".join(seen.lines))
        seen.wait_for(lambda: "loads: network" in " ".join(seen.lines))
        # The meter runs while the networks are loaded, and behind it.
        seen.wait_for(lambda: "#" in shown(seen, "level") or "█" in shown(seen, "level"))
        seen.wait_for(lambda: shown(seen, "now")[8:].split(",")[0].split(" ")[0] in
                      {"speech", "music", "other"})  # fmt: skip
        assert shown(seen, "loads the networks") == ""
        assert all(len(line) <= size[0] for line in seen.shown)
        if size[0] >= 60:
            assert "dBFS, peak" in shown(seen, "level")
            assert "since 20" not in shown(seen, "now")
            assert "music" in shown(seen, "speech")
        process.send_signal(signal.SIGINT)

    ran = run(
        [*AIRSIFT, "listen", *FAST, "--station", "desk", "--sink", f"jsonl:{out}"],
        size, environ=environ, while_running=listen,
    )  # fmt: skip
    assert ran.code == 0
    assert ran.out is not None
    assert strange(ran.out.text) == []
    lines = ran.out.lines
    assert not any(line.startswith(("level ", "now ", "speech ")) for line in lines)
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert {event["station"] for event in events} == {"desk"}
    ended = [e for e in events if e["schema"] == "airsift.segment/1" and e["final"]]
    # What was open is closed by the end, and is the last of the history.
    assert ended[-1]["label"].replace("_", " ") in "\n".join(lines[-3:])
    assert time.time() - ended[-1]["start_sample"] / 16_000 > 0


@pytest.mark.long
@pytest.mark.timeout(180)
def test_an_unplugged_microphone_is_waited_for(tmp_path: Path) -> None:
    skip_unless_installed()
    sound = tmp_path / "tone.wav"
    encode(sound, tone(100, 48_000, hz=440), 48_000, "pcm_s16le")
    first = null_device(tmp_path)
    environ = first.__enter__()
    player = playing(environ, sound)
    player.__enter__()

    def listen(seen: Terminal, process: subprocess.Popen[bytes]) -> None:
        seen.wait_for(lambda: shown(seen, "now")[8:9] not in ("", "-"))
        player.__exit__(None, None, None)
        first.__exit__(None, None, None)
        seen.wait_for(lambda: "no audio for" in shown(seen, "no audio"))
        seen.wait_for(lambda: "waits for microphone" in shown(seen, "no audio"))
        with null_device(tmp_path) as again, playing(again, sound):
            seen.wait_for(lambda: not shown(seen, "no audio"))
            seen.wait_for(lambda: any("  gap  " in line for line in seen.lines))
            seen.wait_for(lambda: "█" in shown(seen, "level"))
            process.send_signal(signal.SIGINT)
            process.wait(60)

    ran = run([*AIRSIFT, "listen", *FAST], environ=environ, while_running=listen)
    assert ran.code == 0
    assert ran.out is not None
    assert any("gap" in line and "pause" in line for line in ran.out.lines)


def test_somebody_is_asked_which_and_may_err(environ: dict[str, str]) -> None:
    def choose(seen: Terminal, process: subprocess.Popen[bytes]) -> None:
        seen.wait_for(lambda: "Enter for *:" in "\n".join(seen.shown))
        assert any(line.startswith("*   ") for line in seen.shown)
        seen.type("no such card\n")
        seen.wait_for(lambda: "choose from:" in " ".join(seen.lines))
        seen.type("puls\n")
        seen.wait_for(lambda: bool(shown(seen, "level")))
        assert any(line.startswith("pulse, ") for line in seen.shown)
        process.send_signal(signal.SIGINT)

    ran = run([*AIRSIFT, "listen"], environ=environ, typing=True, while_running=choose)
    assert ran.code == 0


def test_in_a_pipe_it_writes_lines(environ: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*AIRSIFT, "listen", "default", *FAST],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert line.startswith("microphone  20")
    assert "\x1b" not in line + rest
    assert errors.startswith("airsift: looks for microphones, and loads the networks")
    assert errors.splitlines()[1].startswith("airsift: loads: network the shipped one")
    assert len(errors.splitlines()) == 2


@pytest.mark.long
@pytest.mark.timeout(180)
def test_the_page_shows_what_is_heard_and_that_the_microphone_is_unplugged(tmp_path: Path) -> None:
    skip_unless_installed()
    sound = tmp_path / "programme.wav"
    encode(sound, programme(240, 48_000), 48_000, "pcm_s16le")
    device = ExitStack()
    environ = device.enter_context(null_device(tmp_path))
    device.enter_context(playing(environ, sound))
    command = [*AIRSIFT, "listen", *FAST, "--station", "desk", "--web", "--set", "web.port=0"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with device, subprocess.Popen(command, env=environ, text=True, **pipes) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "the page is at" in line)
            client = Client(line.split()[-1], Feed())
            until(lambda: answers(client))
            with client.socket("/api/wall/ws") as wall:
                wait_for_problem(wall, "loads the networks and the catalogue")
                wait_for_problem(wall, "")
                until(lambda: "now" in station_of(client) and station_of(client)["head_ms"], 60)
                device.close()
                wait_for_problem(wall, "no audio: waits for microphone default")
                with null_device(tmp_path) as again, playing(again, sound):
                    wait_for_problem(wall, "")
                    before = station_of(client)["head_ms"]
                    until(lambda: station_of(client)["head_ms"] > before + 5000, 60)
                    process.send_signal(signal.SIGINT)
                    assert process.wait(60) == 0
        finally:
            process.kill()
    assert not answers(client)


def wait_for_problem(wall: Any, text: str) -> None:
    """Wait until the page says why nothing is heard."""
    told = [""]
    end = time.monotonic() + 60
    while told[-1] != text or len(told) == 1:
        assert time.monotonic() < end, told
        message = json.loads(wall.recv(timeout=60))
        told += [message["problem"]] if "problem" in message else []


def station_of(client: Client) -> dict[str, Any]:
    """Return the one station that the page has, without anything before it comes."""
    stations: list[dict[str, Any]] = client.json("/api/stations")["stations"]
    return stations[0] if stations else {}


@pytest.mark.parametrize("device", ["no such card", "99"])
def test_an_unknown_input_is_named_with_those_there_are(
    environ: dict[str, str], device: str
) -> None:
    done = subprocess.run(
        [*AIRSIFT, "listen", device], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"microphone {device}: no such input (" in done.stderr
    assert "choose from: 0 pulse; 1 default" in done.stderr


def test_devices_are_listed_for_people_and_for_machines(environ: dict[str, str]) -> None:
    ask = [*AIRSIFT, "devices"]
    text = subprocess.run(ask, env=environ, capture_output=True, text=True, check=True)
    rows = subprocess.run(
        [*ask, "--format", "jsonl"], env=environ, capture_output=True, text=True, check=True
    )
    found = [json.loads(line) for line in rows.stdout.splitlines()]
    assert [device["name"] for device in found] == ["pulse", "default"]
    assert [device["is_default"] for device in found].count(True) == 1
    assert all(device["rate"] > 0 and device["channels"] > 0 for device in found)
    lines = text.stdout.splitlines()
    assert len(lines) == 2
    assert "pulse" in lines[0]
    assert np.array_equal([line[0] == "*" for line in lines], [d["is_default"] for d in found])
    assert text.stderr == rows.stderr == ""
