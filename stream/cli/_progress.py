"""A progress bar on standard error, for files long enough to wait for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LONG_S = 120.0  # shorter files are done before a bar could be read


@contextmanager
def progress_bar(
    path: Path, duration_s: float | None
) -> Iterator[Callable[[Mapping[str, float]], None] | None]:
    """Give what `stream.drive.drive` calls with seconds heard; None where no bar is wanted."""
    if not sys.stderr.isatty() or duration_s is None or duration_s < LONG_S:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(path.name, total=duration_s)

        def progress(heard_s: Mapping[str, float]) -> None:
            bar.update(task, completed=max(heard_s.values()))

        yield progress
