"""What every script in this folder does: time, print tables, name the machine, write JSON.

::

    from bench.report import Report, median_s

    report = Report("CQT")
    report.row("rolling, 30 s pushes", seconds=0.008, x_real_time=3700)
    report.finish(options.json)   # options = arguments(__doc__).parse_args()
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def machine() -> dict[str, str | float]:
    """Name the processor, its cores, the threads torch may use, and how busy it has been.

    Returns
    -------
    dict
        ``cpu``, ``cores``, ``torch_threads`` (0 where torch is not installed), ``python``, and
        ``load``: the mean number of running processes in the last minute.
    """
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
        "load": round(os.getloadavg()[0], 1),
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
    """Rows of named figures, printed as tables."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[dict[str, float | str]] = []

    def row(self, name: str, **figures: float | str) -> None:
        """Add one line; a figure's name carries its unit (``_s``, ``_mb``).

        A row with other figures than the row before starts a new table.
        """
        self.rows.append({"name": name, **figures})

    def finish(self, json_path: Path | None = None) -> None:
        """Print the tables and the machine, and write both as JSON where a path is given."""
        host = machine()
        print(self.title)
        for keys, rows in groupby(self.rows, key=tuple):
            lines = [list(keys), *([_text(row[key]) for key in keys] for row in rows)]
            widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
            print()
            for first, *rest in lines:
                cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
                print("  ".join([first.ljust(widths[0]), *cells]))
        print(
            f"\n{host['cpu']}, {host['cores']} cores, {host['torch_threads']} thread(s) for torch, "
            f"load {host['load']}"
        )
        if json_path is not None:
            figures = {"title": self.title, "machine": host, "rows": self.rows}
            json_path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"
