"""``airsift segment``: segments and matches of files."""

from __future__ import annotations

import csv
import enum
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli._context import (
    ConfigOption,
    SetOption,
    TrackOption,
    as_toml,
    complain,
    load_config,
    report,
    write_for_machines,
)

if TYPE_CHECKING:
    from stream.events import Event

FIELDS = (
    "station",
    "schema",
    "start_s",
    "end_s",
    "label",
    "score",
    "track",
    "title",
    "artist",
    "track_start_s",
    "reason",
    "voice",
    "voice_score",
)


class Format(enum.StrEnum):
    """How events are written."""

    jsonl = "jsonl"
    csv = "csv"


def segment(
    files: Annotated[
        list[Path], typer.Argument(help="Audio or video files of any format; - is standard input.")
    ],
    format: Annotated[Format, typer.Option(help="One JSON object a line, or a table.")] = (  # noqa: A002 the user's word
        Format.jsonl
    ),
    catalogue: Annotated[
        str | None, typer.Option(help="Folder of the catalogue that names the music.")
    ] = None,
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Say where there is speech and music in files, and name the music."""
    if catalogue is not None:
        sets = [*(sets or []), f"identify.catalogue={as_toml(catalogue)}"]
    settings = load_config(config, sets)

    from airsift.errors import AirsiftError
    from stream.build import build_pipeline
    from stream.cli._progress import progress_bar
    from stream.drive import drive, stop_on_signals
    from stream.sources.file import FileSource

    write_for_machines()
    pipeline = build_pipeline(settings)
    sink = FinalEvents(format)
    failed = False
    with stop_on_signals() as stop:
        for path in files:
            if stop.requested:
                break
            try:
                source = FileSource(
                    path,
                    station=str(path),
                    chunk_s=settings.file.chunk_s,
                    track=track,
                    max_spool=settings.file.max_spool_bytes,
                )
                with closing(source), progress_bar(path, source.duration_s) as progress:
                    drive(source, pipeline, [sink], checkpoint_s=1.0, stop=stop, progress=progress)
                for warning in source.warnings:
                    complain(f"airsift: {warning}")
                failed |= bool(source.warnings)
                if not sink.judged(source.station) and not stop.requested:
                    raise too_short(path, source.heard_s)
            except AirsiftError as error:
                report(error)
                failed = True
                sink.write(pipeline.push([], last=True))
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def too_short(path: Path, heard_s: float) -> Exception:
    """Return the error of a file without a single window."""
    from airsift.errors import DecodeError

    return DecodeError(
        f"{path}: {heard_s:.2f} s of audio, but a decision needs a window of 5 s; "
        f"give a recording of at least 5 s"
    )


class FinalEvents:
    """Writes what is final to standard output, each line as soon as it is known."""

    def __init__(self, format: Format) -> None:  # noqa: A002
        self._judged: set[str] = set()
        self._csv = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n", extrasaction="ignore")
        self._format = format
        if format is Format.csv:
            self._csv.writeheader()

    def judged(self, station: str) -> bool:
        """Return whether anything was said of `station`."""
        return station in self._judged

    def write(self, events: Sequence[Event]) -> None:
        """Write the events that are final."""
        for event in events:
            if event.kind == "decision":
                self._judged.add(event.station)
            elif getattr(event, "final", True):
                self._line(event.to_dict())

    def flush(self) -> None:
        """Hand the lines on."""
        sys.stdout.flush()

    def close(self) -> None:
        """Hand the lines on."""
        self.flush()

    def _line(self, values: Mapping[str, Any]) -> None:
        if self._format is Format.csv:
            self._csv.writerow({**values, "schema": values["schema"].split(".")[1].split("/")[0]})
        else:
            print(json.dumps(values, ensure_ascii=False, allow_nan=False))
        sys.stdout.flush()
