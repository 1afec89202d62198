"""The same events on every kind of processor, simulated by other instruction sets.

One process for each setting checks, in one go, that cutting, batching, threads and a restart move
no bit (`laws.py`); here its events are compared with the golden ones, and settings with each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream.demo.catalogue import build_catalogue
from stream.demo.clips import RATE
from stream.demo.programme import assemble, programmes
from tests.stream.golden import COMPARED, GOLDEN, TOLERANCE

ROOT = Path(__file__).parents[2]
# What docs/topics.md states for numbers of two kinds of processor.
DISTANCE = 0.001
NUMBERS = ("p_speech", "p_music", "confidence", "score", "voice_score")
SETTINGS = [
    "",
    "ATEN_CPU_CAPABILITY=default",
    "ATEN_CPU_CAPABILITY=avx2",
    "ATEN_CPU_CAPABILITY=avx512",
    "ONEDNN_MAX_CPU_ISA=SSE41",
    "ONEDNN_MAX_CPU_ISA=AVX2",
    "ONEDNN_MAX_CPU_ISA=AVX512_CORE",
    "MKL_ENABLE_INSTRUCTIONS=SSE4_2",
    "MKL_ENABLE_INSTRUCTIONS=AVX2",
    "MKL_CBWR=AVX2",
    "MKL_CBWR=COMPATIBLE",
    "BACKEND=onnx",  # onnxruntime has no such settings
]


def flags() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the demo's programmes as samples, as a file of 16 bits has them, and a catalogue."""
    folder = tmp_path_factory.mktemp("laws")
    for name in programmes():
        samples = np.round(assemble(name).samples * 32767) / 32768
        np.save(folder / f"{name}@{RATE}.npy", samples.astype(np.float32))
    build_catalogue(folder / "catalogue")
    return folder


@pytest.fixture(scope="module")
def events(folder: Path):
    """Return a function from a setting to the events under it, each computed once."""
    found = {}

    def of(setting: str) -> dict[str, list[dict[str, object]]]:
        if setting.endswith("avx512") and "avx512f" not in flags():
            pytest.skip("torch does not check that this processor has AVX-512, which it has not")
        if setting not in found:
            found[setting] = run(setting, folder)
        return found[setting]

    return of


def run(setting: str, folder: Path) -> dict[str, list[dict[str, object]]]:
    name, _, value = setting.partition("=")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({name: value} if name else {})}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("laws.py")), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_laws_and_the_golden_events_hold(events, setting):
    for name, rows in events(setting).items():
        golden = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        final = [row for row in rows if row["kind"] != "decision" and row.get("final", True)]
        compared = [{key: row[key] for key in COMPARED if key in row} for row in final]
        scores = [row.pop("score") for row in compared]
        assert scores == pytest.approx([row.pop("score") for row in golden], abs=TOLERANCE)
        assert compared == golden


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("setting", SETTINGS[1:])
def test_another_kind_of_processor_differs_in_last_digits_only(events, setting):
    for name, here in events("").items():
        there = events(setting)[name]
        assert [plain(row) for row in there] == [plain(row) for row in here]
        for a, b in zip(here, there, strict=True):
            for key in NUMBERS:
                if a.get(key) is not None:
                    assert abs(a[key] - b[key]) <= DISTANCE + 1e-9, (a, b)


def plain(row: dict[str, object]) -> dict[str, object]:
    """Return all of an event but its numbers."""
    return {key: value for key, value in row.items() if key not in NUMBERS}
