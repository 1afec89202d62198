"""The commands of a worker without torch and scipy: the same events, and errors that help.

tests/airsift/test_edge.py does it with what requirements-edge.lock installs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fingerprint.analysis.peaks import extract
from stream.audio import AudioChunk
from stream.stages.mono import ToMono
from stream.testing import RATE, programme
from tests import torchless
from tests.integration.road import (
    AIRSIFT,
    Subscriber,
    end,
    last_decision,
    make_environment,
    of,
    publish,
    recording,
    start,
)

pytestmark = pytest.mark.process
SECONDS = 40
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> dict[str, str]:
    return torchless.environment(tmp_path_factory.mktemp("hook"))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return recording(tmp_path_factory.mktemp("audio") / "a.wav", SECONDS, seed=5)


def airsift(environment, *arguments) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AIRSIFT, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows(done) -> list[dict]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_there_is_none(bare):
    for name in torchless.ABSENT:
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], env=bare, capture_output=True, text=True
        )
        assert f"No module named '{name}'" in done.stderr


def test_run_gives_the_events_of_torch(bare, file):
    with_torch = bare | {"PYTHONPATH": bare["PYTHONPATH"].split(os.pathsep)[1]}
    command = ["run", "--source", file, "--sink", "jsonl:-"]
    found = rows(airsift(bare, *command))
    expected = rows(airsift(with_torch, *command, "--set", "model.backend=torch"))
    assert len(found) == len(expected) > SECONDS - 5
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, float):
                assert value == pytest.approx(other[key], abs=0.002), key
            elif key != "boundary_frames":
                assert value == other[key], key


def test_segment_and_classify_cover_a_file(bare, file):
    segments = rows(airsift(bare, "segment", file))
    assert (segments[0]["start_s"], segments[-1]["end_s"]) == (0.0, SECONDS)
    windows = rows(airsift(bare, "classify", "--format", "jsonl", file))
    assert [window["end_s"] for window in windows] == [5.0 * (k + 1) for k in range(SECONDS // 5)]


def test_stereo_and_catalogues_do_without_scipy(bare, tmp_path):
    """Landmarks and mixtures are numpy's, so catalogues of both installations are alike."""
    mono = programme(30)
    stereo = np.stack([mono, -mono], axis=1)
    chunk = AudioChunk("a", 0, stereo, RATE)
    mixed = ToMono(RATE).push([chunk])[0].samples
    np.save(tmp_path / "stereo.npy", stereo)
    program = (
        "import sys, numpy as np;"
        "from fingerprint.analysis.peaks import extract;"
        "from stream.audio import AudioChunk;"
        "from stream.stages.mono import ToMono;"
        f"chunk = AudioChunk('a', 0, np.load({str(tmp_path / 'stereo.npy')!r}), {RATE});"
        f"mixed = ToMono({RATE}).push([chunk])[0].samples;"
        f"np.save({str(tmp_path / 'mixed.npy')!r}, mixed);"
        "print(extract(chunk.samples[:, 0]).pack())"
    )
    done = subprocess.run([sys.executable, "-c", program], env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == extract(mono).pack()
    assert np.array_equal(np.load(tmp_path / "mixed.npy"), mixed)


def test_a_catalogue_is_made_and_names_what_is_in_it(bare, tmp_path):
    file = ROOT / "stream/demo/audio/palace.opus"
    done = airsift(bare, "catalogue", "add", file, "--catalogue", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    found = rows(airsift(bare, "segment", "--catalogue", tmp_path / "c", file))
    assert "palace" in {row["title"] for row in found if "/match/" in row["id"]}


@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_a_command_of_the_full_installation_says_what_to_install(command, bare, file):
    done = airsift(bare, command, file)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "needs torch" in line
    assert "requirements.lock" in line


@pytest.mark.parametrize("driver", ["run", "worker"])
def test_a_worker_processes_a_station_from_kafka(driver, bare, file, new_broker):
    broker = new_broker()
    environment = make_environment(broker, 1) | {"PYTHONPATH": bare["PYTHONPATH"]}
    done = publish(environment, file, "north")
    assert done.returncode == 0, done.stderr
    subscriber = Subscriber(broker)
    process = start(driver, environment)
    try:
        subscriber.read_until(lambda events: last_decision(events, "north") >= SECONDS - 2)
    finally:
        code = end(process)
    assert code == 0
    decisions = [row for row in of(subscriber.events, "decision", "north") if row["final"]]
    assert [row["end_s"] - row["start_s"] for row in decisions[:-1]] == [5.0] * len(decisions[:-1])
    assert of(subscriber.events, "segment", "north")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.backend=torch", ["model.backend='torch' needs torch", "model.backend='onnx'"]),
        ("model.device=cuda", ["model.backend='torch' needs torch"]),
        ("model.front_end=nnaudio", ["model.backend='torch' needs torch"]),
    ],
)
def test_what_needs_torch_says_so_in_one_line(setting, words, bare, file):
    done = airsift(bare, "segment", "--set", setting, file)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line


@pytest.mark.parametrize("command", ["segment", "run", "worker", "tail", "publish", "catalogue"])
def test_the_help_of_each_command_is_there(command, bare):
    done = airsift(bare, command, "--help")
    assert done.returncode == 0, done.stderr
    assert command in done.stdout
