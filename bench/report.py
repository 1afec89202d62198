"""Shared by all benchmarks: timing, tables, the name of the machine, JSON.

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

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def machine() -> dict[str, str | float]:
    """Return processor, cores, threads of torch and load.

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


def median_s(
    call: Callable[[], object],
    *,
    repeats: int,
    warmup: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the median seconds of a call, by the wall clock or another, after `warmup` calls."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with ``--json FILE``, to which a script adds arguments."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file")
    return parser


class Report:
    """Rows of named results, printed as tables."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[dict[str, float | str]] = []

    def row(self, name: str, **results: float | str) -> None:
        """Add one row; the name of a result has its unit as suffix (``_s``, ``_mb``).

        A row with other names than the row before starts a new table.
        """
        self.rows.append({"name": name, **results})

    def finish(self, json_path: Path | None = None) -> None:
        """Print the tables and the machine, and write both as JSON where a path is given."""
        host = machine()
        print(self.title)
        for keys, rows in groupby(self.rows, key=tuple):
            table = Table(box=None, pad_edge=False, padding=(0, 1))
            for key in keys:
                table.add_column(key, justify="left" if key == "name" else "right", no_wrap=True)
            for row in rows:
                table.add_row(*(_text(row[key]) for key in keys))
            print()
            Console(width=1000, markup=False, highlight=False, no_color=True).print(table)
        print(
            f"\n{host['cpu']}, {host['cores']} cores, {host['torch_threads']} thread(s) for torch, "
            f"load {host['load']}"
        )
        if json_path is not None:
            results = {"title": self.title, "machine": host, "rows": self.rows}
            json_path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def table_lines(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body]]


def write_section(page: Path, script: str, body: str) -> None:
    """Replace what `script` wrote into a page: the text between its two marks."""
    begin, end = (f"<!-- written by {script}: {word} -->" for word in ("begin", "end"))
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"
