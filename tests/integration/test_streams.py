"""Standard streams that are closed or full, names that are no text, input from a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.testing import noise, write_wav

AIRSIFT = [sys.executable, "-m", "airsift"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("AIRSIFT_", "PYTHON"))}


def shell(script: str, *arguments: object, environ: dict[str, str] | None = None):
    """Run a line of shell in which "$@" is airsift with the arguments."""
    command = ["sh", "-c", script, "sh", *AIRSIFT, *map(os.fsencode, map(str, arguments))]
    environ = ENVIRONMENT | (environ or {})
    return subprocess.run(command, capture_output=True, timeout=120, check=False, env=environ)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return write_wav(tmp_path_factory.mktemp("streams") / "noise.wav", noise(6))


CLOSED = (">&-", b"standard output is closed")
FULL = (">/dev/full", b"free some space")


@pytest.mark.parametrize(
    ("arguments", "where", "words"),
    [
        (["segment"], *CLOSED),
        (["segment"], *FULL),
        (["run", "--source"], *CLOSED),
        (["run", "--sink", "jsonl:-", "--source"], *CLOSED),
    ],
)
def test_output_that_goes_nowhere_is_one_line(recording, arguments, where, words):
    done = shell(f'"$@" {where}', *arguments, recording)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_closed_standard_error_changes_nothing_else(recording):
    done = shell('"$@" 2>&-', "segment", recording, recording.with_name("none.wav"))
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[0])["start_sample"] == 0


@pytest.mark.parametrize("command", ["segment", "classify"])
def test_a_name_that_is_no_text_is_still_json(recording, tmp_path, command):
    path = os.fsencode(tmp_path) + b"/bad\xff.wav"
    os.link(recording, path)
    environ = {"PYTHONIOENCODING": "ascii"}
    done = shell('"$@"', command, os.fsdecode(path), "--format", "jsonl", environ=environ)
    assert done.returncode == 0
    row = json.loads(done.stdout.splitlines()[0].decode("utf-8"))
    assert row.get("station", row.get("file")).endswith("bad?.wav")


def test_a_dash_is_standard_input(recording):
    done = shell(f'cat "{recording}" | "$@" -', "segment")
    assert done.returncode == 0
    assert done.stdout


def test_a_catalogue_may_have_a_quote_in_its_name(recording, tmp_path):
    done = shell('"$@"', "segment", recording, "--catalogue", tmp_path / "it's")
    assert done.returncode == 1
    assert f"{tmp_path}/it's: there is no catalogue here".encode() in done.stderr


def test_a_file_to_add_that_is_not_there_is_named_with_what_to_do(tmp_path):
    done = shell('"$@"', "catalogue", "add", "--catalogue", tmp_path / "shelf", "none.mp3")
    assert done.returncode == 1
    assert done.stderr.startswith(b"airsift: none.mp3: No such file or directory; check the path")
