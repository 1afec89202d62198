"""Commands that wait, for a pipe or for others, end on request."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.cli.at_once import at_once
from stream.testing import tone
from tests.stream.wave_files import form, wav

AUDIO = wav(form(1), (tone(12, 16_000) * 9_000).astype("<i2").tobytes())


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "number", "sent"),
    [
        ("segment", signal.SIGINT, b""),
        ("segment", signal.SIGTERM, AUDIO),
        ("classify", signal.SIGINT, AUDIO),
    ],
)
def test_a_command_ends_while_it_waits_for_a_pipe(
    tmp_path: Path, command: str, number: signal.Signals, sent: bytes
) -> None:
    fifo = tmp_path / "a.fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "airsift", command, str(fifo)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = os.open(fifo, os.O_WRONLY)  # waits until the command reads
    try:
        rest = memoryview(sent)
        while rest:
            rest = rest[os.write(end, rest) :]
        time.sleep(0.5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        os.close(end)
        process.kill()
    assert process.returncode == 130
    assert errors == b""


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("command", ["stations", "alarms", "trace"])
def test_a_command_ends_while_servers_do_not_answer(tmp_path: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        listed = tmp_path / "stations.toml"
        listed.write_text(f'[[stations]]\nname = "a"\nsource = "{url}"\n')
        arguments = {
            "stations": ["check", str(listed)],
            "alarms": ["test", "--set", f'alarms.webhook.urls=["{url}"]'],
            "trace": ["a", "now", "--kafka", f"127.0.0.1:{silent.getsockname()[1]}"],
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "airsift", command, *arguments[command],
             "--set", "http.timeout_s=60", "--set", "alarms.timeout_s=60"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            connection, _ = silent.accept()
            with connection:
                began = time.monotonic()
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=60)
                assert time.monotonic() - began < 20
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors == b""


@pytest.mark.slow
@pytest.mark.process
def test_a_command_ends_while_it_imports() -> None:
    waits = (
        "import sys, time, airsift.__main__ as main\n"
        "class Slow:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'airsift.cli.app':\n"
        "            print('imports', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.argv = ['airsift', 'history']\n"
        "main.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", waits], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"imports\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == b""


@given(items=st.lists(st.integers(), max_size=9), threads=st.integers(1, 5), broken=st.integers())
def test_results_come_in_order_up_to_the_first_error(
    items: list[int], threads: int, broken: int
) -> None:
    def look(item: int) -> int:
        if item == broken:
            raise KeyError(item)
        return item + 1

    found = []
    try:
        for each in at_once(look, items, threads):
            found.append(each)
    except KeyError:
        items = items[: items.index(broken)]
    assert found == [item + 1 for item in items]
