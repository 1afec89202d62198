"""``airsift segment``: segments and matches of files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import (
    ConfigOption,
    SetOption,
    TrackOption,
    complain,
    load_config,
    report,
)
from airsift.cli.inputs import Inputs, ending_on_request
from airsift.cli.rows import Format, Rows
from airsift.errors import AirsiftError
from airsift.inputs import is_address, label_of, open_input
from stream.lines import to_json

if TYPE_CHECKING:
    from airsift.api.engine import Analyser
    from airsift.cli.processes import Run
    from airsift.config import Config
    from airsift.json_types import JsonObject
    from stream.runner import Stop

    Write = Callable[[str, JsonObject], object]
    Process = Callable[[list[str], Config, str | None, Write, Stop], bool]

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
    "album",
    "isrc",
    "record_label",
    "track_duration_s",
)


def segment(
    files: Inputs,
    format: Annotated[Format, typer.Option(help="One JSON object a line, or a table.")] = (  # noqa: A002 the user's word
        Format.jsonl
    ),
    catalogue: Annotated[
        str | None, typer.Option(help="Folder of the catalogue that identifies the music.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes; with 2 or more, several files at a time.")
    ] = 1,
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the segments of speech and music in files, and identify the music.

    A folder stands for the audio files in it and below it.
    """
    if catalogue is not None:
        sets = [*(sets or []), f"identify.catalogue={to_json(catalogue)}"]
    settings = load_config(config, sets)

    from airsift.cli.folders import find_files

    names: list[str] = []
    failed = False
    for name in files:
        if is_address(name) or not Path(name).is_dir():
            names.append(name)
            continue
        found = find_files([Path(name)])
        for problem in found.problems:
            complain(f"airsift: {problem}")
        failed |= found.failed > 0
        names += map(str, found.files)

    from stream.runner import stop_on_signals

    rows = Rows(format, FIELDS)

    def write(kind: str, values: JsonObject) -> None:
        rows.write(values if format is Format.jsonl else values | {"schema": kind})

    jobs = min(jobs, len(names))
    process = _in_processes(jobs) if jobs >= 2 else _here
    with stop_on_signals() as stop, ending_on_request(stop):
        failed |= not process(names, settings, track, write, stop)
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _here(names: list[str], settings: Config, track: str | None, write: Write, stop: Stop) -> bool:
    """Process files one by one; write events as they come, and return whether all were read."""
    from airsift.api.engine import Analyser

    analyser = Analyser(settings)
    is_whole = True
    for name in names:
        if stop.requested:
            break
        is_whole &= _segment_file(name, analyser, track, write, stop)
    return is_whole


def _segment_file(
    name: str, analyser: Analyser, track: str | None, write: Write, stop: Stop
) -> bool:
    """Write the events of one file, and what is wrong with it; return whether it was read."""
    from airsift.cli.progress import progress_bar

    try:
        source = open_input(name, analyser.config, stop, track)
        with closing(source), progress_bar(label_of(name), source.duration_s) as progress:
            try:
                for event in analyser.events(source, stop=stop, progress=progress):
                    write(event.kind, event.to_dict())
            finally:
                for warning in source.warnings:
                    complain(f"airsift: {warning}")
    except AirsiftError as error:
        report(error)
        return False
    return not source.warnings


def _in_processes(jobs: int) -> Process:
    """Return `_here` for several processes: events of a file come when it is done, in order."""

    def process(
        names: list[str], settings: Config, track: str | None, write: Write, stop: Stop
    ) -> bool:
        from airsift.cli.processes import each_in_processes
        from airsift.cli.progress import files_bar

        def work(name: str, run: Run) -> tuple[list[tuple[str, JsonObject]], bool]:
            try:
                return run(_collect, name, settings, track)
            except AirsiftError as error:  # the process died
                report(error)
                return [], False

        is_whole = True
        with files_bar(len(names)) as advance:
            for name, (events, is_read) in each_in_processes(work, names, jobs, _bytes_of):
                if stop.requested:
                    break
                advance(label_of(name))
                for kind, values in events:
                    write(kind, values)
                is_whole &= is_read
        return is_whole

    return process


def _bytes_of(name: str) -> float:
    """Return the size of a file, to which its length is roughly proportional."""
    try:
        return Path(name).stat().st_size
    except OSError:  # an address, or a file that will be reported
        return 0.0


def _collect(
    name: str, settings: Config, track: str | None
) -> tuple[list[tuple[str, JsonObject]], bool]:
    """Return the events of one file, and whether it was read."""
    from airsift.api.engine import analyser_of
    from stream.runner import Stop

    events: list[tuple[str, JsonObject]] = []
    is_read = _segment_file(
        name, analyser_of(settings), track, lambda *event: events.append(event), Stop()
    )
    return events, is_read
