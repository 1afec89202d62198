"""``airsift classify``: non-overlapping windows of files, each judged alone."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli._context import (
    ConfigOption,
    SetOption,
    TrackOption,
    complain,
    load_config,
    report,
    write_for_machines,
)
from stream.cli.segment import Format, too_short

if TYPE_CHECKING:
    from stream.config import Config
    from stream.drive import Stop

FIELDS = ("file", "start_s", "end_s")


def classify(
    files: Annotated[
        list[Path], typer.Argument(help="Audio or video files of any format; - is standard input.")
    ],
    format: Annotated[Format, typer.Option(help="A table, or one JSON object a line.")] = (  # noqa: A002 the user's word
        Format.csv
    ),
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Judge the 5 s windows of files one by one, without what is around them.

    A rest of less than 5 s at the end of a file is not judged. model.path may name a network of
    any labels.
    """
    settings = load_config(config, sets)

    from airsift.errors import AirsiftError
    from stream.build import build_model
    from stream.drive import stop_on_signals
    from stream.windows import JudgeWindows

    write_for_machines()
    judge = JudgeWindows(*build_model(settings))
    fields = (*FIELDS, *(f"p_{label}" for label in judge.labels))
    table = csv.DictWriter(sys.stdout, fields, lineterminator="\n")
    if format is Format.csv:
        table.writeheader()

    def write(row: dict[str, Any]) -> None:
        if format is Format.csv:
            table.writerow(row)
        else:
            print(json.dumps(row, ensure_ascii=False))
        sys.stdout.flush()

    failed = False
    with stop_on_signals() as stop:
        for path in files:
            if stop.requested:
                break
            try:
                failed |= not _classify_file(path, track, settings, judge, write, stop)
            except AirsiftError as error:
                report(error)
                failed = True
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _classify_file(
    path: Path, track: str | None, settings: Config, judge: Any, write: Any, stop: Stop
) -> bool:
    """Write a row for each window of one file; return whether all of it could be read."""
    from contextlib import closing

    from stream.sources.file import FileSource

    source = FileSource(
        path,
        station=str(path),
        chunk_s=settings.file.chunk_s,
        track=track,
        max_spool=settings.file.max_spool_bytes,
    )
    n_windows = 0
    with closing(source):
        for window in judge.windows(source):
            n_windows += 1
            write(
                {
                    "file": str(path),
                    "start_s": round(window.start / window.rate, 3),
                    "end_s": round(window.end / window.rate, 3),
                    **{f"p_{label}": round(p, 4) for label, p in window.probabilities.items()},
                }
            )
            if stop.requested:
                return True
    for warning in source.warnings:
        complain(f"airsift: {warning}")
    if not n_windows:
        raise too_short(path, source.heard_s)
    return not source.warnings
