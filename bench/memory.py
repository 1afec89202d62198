"""Memory of a process, from /proc."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb(pid: int | str = "self") -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb(pid: int | str = "self") -> float:
    """Return the largest resident memory of a process so far; 0 of one that has ended.

    The value of getrusage and wait() would include the memory of the parent, of which it is a fork.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0
