"""What the repository promises about itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from airsift import __version__, errors

ROOT = Path(__file__).parents[2]
PACKAGES = ("airsift", "stream", "model", "fingerprint")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def imports(path: Path) -> set[str]:
    """Return the first names of everything a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize(
    ("package", "may_import"),
    [
        ("airsift", {"stream"}),  # airsift.__main__ alone, see below
        ("model", {"airsift", "model"}),
        ("fingerprint", {"airsift", "fingerprint"}),
    ],
)
def test_arrows_point_one_way(package, may_import):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        ours = imports(path) & set(PACKAGES)
        if path.name == "errors.py":
            assert not ours
        assert ours <= may_import, f"{path.name} imports {ours - may_import}"


def test_only_one_file_knows_torchscript():
    users = {
        path.name
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"torch\.jit\.(load|save|script|trace|freeze)\b", path.read_text())
    }
    assert users == {"classifier.py"}


def test_only_the_kafka_package_imports_kafka():
    for path in (ROOT / "stream").rglob("*.py"):
        if "kafka" not in path.parent.name and path.parent.name != "demo":
            assert "kafka" not in imports(path), path


def test_every_error_is_airsifts():
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.AirsiftError)
            assert name in (errors.__doc__ or "")


def test_the_version_is_one():
    assert PROJECT["project"]["version"] == __version__
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_lock_pins_every_dependency():
    def name(line: str) -> str:
        return re.split(r"[=<>;\[ ]", line)[0].lower().replace("_", "-")

    def pinned(lock: str) -> set[str]:
        lines = [
            line
            for line in (ROOT / lock).read_text().splitlines()
            if line and not line.startswith(("#", "--requirement"))
        ]
        assert all("==" in line for line in lines)
        return {name(line) for line in lines}

    running, developing = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert not running & developing
    needed = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    assert {name(line) for line in needed} <= running
    extras = PROJECT["project"]["optional-dependencies"]
    assert {name(d) for group in extras.values() for d in group} <= running | developing


def test_make_uses_what_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for path in re.findall(r"\b(?:scripts|bench)/[\w./-]*\w", makefile):
        assert (ROOT / path).exists(), path
    assert "\nmake test PYTEST=--require-kafka" in (ROOT / ".ci" / "run").read_text()


def test_the_audio_and_weights_stay_small():
    kinds = {".opus", ".ogg", ".flac", ".mp3", ".wav", ".pt", ".pt2", ".onnx", ".gz"}
    sizes = [
        path.stat().st_size
        for package in (*PACKAGES, "tests", "docs")
        for path in (ROOT / package).rglob("*")
        if path.suffix in kinds
    ]
    assert sum(sizes) <= 20e6
