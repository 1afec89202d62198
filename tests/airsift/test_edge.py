"""What runs without torch and scipy: the lock file, and an environment that is made from it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stream.testing import programme, write_wav
from tests import torchless

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = ROOT / "requirements-edge.lock"


def pins(path: Path) -> dict[str, str]:
    """Return the lines of a lock file by the name of the package."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name_of(line): line for line in lines}


def name_of(line: str) -> str:
    return re.split(r"[=<>;\[ ]", line)[0].lower().replace("_", "-")


def test_the_lock_is_the_full_one_without_torch_and_what_only_it_needs():
    edge, full = pins(LOCK), pins(ROOT / "requirements.lock")
    assert edge.items() <= full.items()
    absent = {name.lower() for name in torchless.ABSENT}
    needed = {name_of(line) for line in PROJECT["project"]["dependencies"]}
    assert needed - edge.keys() == {"torch", "torchaudio", "nnaudio", "scipy"}
    assert not absent & edge.keys()
    assert not [name for name in edge if name.startswith(("nvidia", "cuda", "triton"))]


def test_make_edge_and_the_image_install_the_same():
    recipe = (ROOT / "Makefile").read_text().split("\n.venv-edge/.installed:")[1].split("\n\n")[0]
    stage = (ROOT / "Dockerfile").read_text().split(" AS build-edge\n")[1].split("\nFROM ")[0]
    for steps in (recipe, stage):
        found = re.findall(r"pip (install|uninstall) (.*)", steps)
        assert [command for command, _ in found] == ["install", "install", "uninstall"]
        assert found[0][1].endswith("--requirement requirements-edge.lock")
        assert "--no-deps --no-build-isolation" in found[1][1]
        assert found[2][1].endswith("--yes setuptools")


@pytest.mark.long
@pytest.mark.process
def test_an_environment_of_the_lock_segments_a_file(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*install, "--requirement", LOCK], capture_output=True, text=True, check=False
    )
    if "No matching distribution" in done.stderr or "connection" in done.stderr.lower():
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    subprocess.run([*install, "--no-deps", "--no-build-isolation", ROOT], check=True)
    file = write_wav(tmp_path / "a.wav", programme(30))
    done = subprocess.run(
        [python.with_name("airsift"), "segment", file],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (rows[0]["start_s"], rows[-1]["end_s"]) == (0.0, 30.0)
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True)
    assert not re.search("^(torch|nnaudio|onnx|scipy) ", listed.stdout, re.M | re.I)
