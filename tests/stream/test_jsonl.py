from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airsift.errors import ConfigError
from stream.events import Decision, Gap
from stream.sinks.jsonl import JsonlSink

RATE = 16_000


def decision(second: int, station: str = "radio") -> Decision:
    return Decision(station, second * RATE, (second + 5) * RATE, RATE, None, 0.25, 0.75)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_event_is_a_line_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonlSink(path)
    sink.write([decision(0), Gap("ü\n", 0, RATE, RATE, None, "overflow")])
    assert [line["station"] for line in lines_of(path)] == ["radio", "ü\n"]
    sink.write([])
    sink.flush()
    sink.close()
    sink.close()
    assert len(lines_of(path)) == 2


def test_a_second_run_appends(tmp_path: Path) -> None:
    path = tmp_path / "a b.jsonl"
    for second in range(3):
        sink = JsonlSink(path)
        sink.write([decision(second)])
        sink.close()
    assert [line["start_s"] for line in lines_of(path)] == [0, 1, 2]


def test_half_a_line_of_a_killed_run_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = decision(0).to_json()
    path.write_text(f"{whole}\n{whole[:50]}")
    sink = JsonlSink(path)
    sink.write([decision(1)])
    sink.close()
    assert [line["start_s"] for line in lines_of(path)] == [0, 1]


def test_a_foreign_last_line_is_ended_not_dropped(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine, without an end")
    sink = JsonlSink(path)
    sink.write([decision(1)])
    sink.close()
    first, second = path.read_text().splitlines()
    assert first == "mine, without an end"
    assert json.loads(second)["start_s"] == 1


@pytest.mark.process
def test_a_full_disk_is_backpressure_and_leaves_whole_lines(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from airsift.errors import Backpressure\n"
        "from stream.events import Gap\n"
        "from stream.sinks.jsonl import JsonlSink\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))\n"
        "sink = JsonlSink(sys.argv[1])\n"
        "gaps = [Gap('a', i, i + 1, 16_000, None, 'x') for i in range(20)]\n"
        "sink.write(gaps[:2])\n"
        "for _ in range(2):\n"
        "    try: sink.write(gaps[2:])\n"
        "    except Backpressure as full: print(full, full.retry_after_s)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "sink.write(gaps[2:])\n"
        "sink.close()\n"
    )
    path = tmp_path / "events.jsonl"
    run = [sys.executable, "-c", script, str(path)]
    out = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert out.count(f"{path}: no space left on its disk") == 2
    assert [line["start_sample"] for line in lines_of(path)] == list(range(20))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_device_that_is_no_file_is_an_error() -> None:
    sink = JsonlSink(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        sink.write([decision(0)])
    sink.close()


@pytest.mark.parametrize("place", ["missing/events.jsonl", "."])
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    with pytest.raises(ConfigError, match=f"^{path}: cannot be written to"):
        JsonlSink(path)


def test_a_text_file_object_stays_open() -> None:
    text = io.StringIO()
    sink = JsonlSink(text)
    sink.write([decision(3)])
    sink.close()
    assert json.loads(text.getvalue())["start_s"] == 3


@pytest.mark.process
def test_standard_output_is_utf8_in_any_locale_and_seen_at_once() -> None:
    script = (
        "from stream.events import Gap\n"
        "from stream.sinks.jsonl import JsonlSink\n"
        "sink = JsonlSink('-')\n"
        "sink.write([Gap('Ö1→', 0, 16_000, 16_000, None, 'x')])\n"
        "input()\n"
    )
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=-1, stdout=-1, env=environ
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert json.loads(process.stdout.readline())["station"] == "Ö1→"  # before it ends
        process.stdin.write(b"\n")


def test_a_reader_that_leaves_is_one_broken_pipe_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    text = os.fdopen(writer, "w")
    sink = JsonlSink(text)
    with pytest.raises(BrokenPipeError):
        sink.write([decision(0)])
    sink.flush()
    sink.close()
    text.close()  # nothing is left in Python's buffer


def test_a_full_pipe_that_nobody_waits_for_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    events = [decision(n) for n in range(2000)]  # more than a pipe holds
    lines: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as file:
            lines.extend(file)

    with os.fdopen(writer, "w") as text:
        thread = threading.Thread(target=read)
        thread.start()
        JsonlSink(text).write(events)
    thread.join()
    assert [json.loads(line)["id"] for line in lines] == [event.id for event in events]
