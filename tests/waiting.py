"""Waiting for something that another process or thread does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def wait_until(
    holds: Callable[[], T],
    timeout_s: float = 90.0,
    *,
    process: subprocess.Popen[Any] | None = None,
    why: Callable[[], object] | None = None,
) -> T:
    """Call a function until its answer is true, and return that; fail if `process` ends first.

    The failure shows what `why` returns, or what the ended process wrote to a pipe.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        if process is not None and process.poll() is not None:
            written = process.stderr.read() if why is None and process.stderr else ""
            pytest.fail(f"ended with {process.returncode}: {why() if why else written}")
        assert time.monotonic() < deadline, why() if why else "it did not happen in time"
        time.sleep(0.05)
    return found
