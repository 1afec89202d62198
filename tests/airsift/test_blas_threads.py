"""The command computes landmarks in one thread: those of OpenBLAS would wait busily."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process
# Runs as the command does, up to the command line, which it replaces.
PROBE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace

def cpu(task):
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])

def probe():
    import numpy as np
    from fingerprint.analysis.peaks import extract
    noise = np.random.default_rng(1).standard_normal(60 * 16_000).astype(np.float32)
    for _ in range(4):
        extract(noise)
    ticks = {task.name: cpu(task) for task in Path("/proc/self/task").iterdir()}
    main = ticks.pop(str(__import__("os").getpid()))
    print(json.dumps([main, sum(ticks.values())]))

from airsift.__main__ import main
sys.modules["airsift.cli.app"] = SimpleNamespace(main=probe)
main()
"""


def ticks(environment: dict[str, str]) -> tuple[int, int]:
    """Return the CPU time of the main thread and of all others."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    main, others = json.loads(done.stdout)
    return main, others


@pytest.mark.skipif(os.cpu_count() == 1, reason="OpenBLAS has one thread on one processor")
@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="reads Linux's /proc")  # noqa: PTH110
def test_landmarks_are_computed_in_one_thread_unless_the_user_asks_for_more() -> None:
    names = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
    unset = {name: value for name, value in os.environ.items() if name not in names}
    main, others = ticks(unset)
    assert others <= main / 20
    main, others = ticks(unset | {"OPENBLAS_NUM_THREADS": "2"})
    assert others > main / 20
