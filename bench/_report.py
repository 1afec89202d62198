"""What every script in this folder does: time, print a table, name the machine, write JSON.

::

    from _report import Report, median_s

    report = Report("CQT")
    report.row("rolling, 30 s pushes", seconds=0.008, x_real_time=3700)
    report.finish()          # the table; also written to a file when --json FILE was given
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def machine() -> dict[str, str | int]:
    """Name the processor, its cores, and the threads torch may use (0: torch is not there)."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    try:
        import torch

        threads = torch.get_num_threads()
    except ImportError:
        threads = 0
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 0,
        "torch_threads": threads,
        "python": platform.python_version(),
    }


def median_s(call: Callable[[], object], *, repeats: int, warmup: int = 3) -> float:
    """Median wall-clock seconds of a call, after `warmup` calls that do not count."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--json FILE``; a script adds its own arguments to it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    return parser


class Report:
    """Rows of named figures, printed as a table."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[dict[str, float | str]] = []

    def row(self, name: str, **figures: float | str) -> None:
        """Add one line of the table; a figure's name carries its unit (``_s``, ``_mb``)."""
        self.rows.append({"name": name, **figures})

    def finish(self, json_path: Path | None = None) -> None:
        """Print the table and the machine, and write both as JSON where a path is given."""
        host = machine()
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        lines = [[_text(row.get(key, "")) for key in columns] for row in self.rows]
        widths = [max(map(len, cells)) for cells in zip(columns, *lines, strict=True)]
        print(self.title)
        for cells in [columns, *lines]:
            first, *rest = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            print("  ".join([first, *(c.strip().rjust(len(c)) for c in rest)]).rstrip())
        print(f"{host['cpu']}, {host['cores']} cores, {host['torch_threads']} thread(s) for torch")
        if json_path is not None:
            figures = {"title": self.title, "machine": host, "rows": self.rows}
            json_path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
