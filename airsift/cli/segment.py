"""``airsift segment``: segments and matches of files."""

from __future__ import annotations

from contextlib import closing
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
from airsift.cli.inputs import Inputs, ending_on_request, label_of, open_input
from airsift.cli.rows import Format, Rows
from stream.lines import to_json

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
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the segments of speech and music in files, and identify the music."""
    if catalogue is not None:
        sets = [*(sets or []), f"identify.catalogue={to_json(catalogue)}"]
    settings = load_config(config, sets)

    from airsift.build import build_pipeline
    from airsift.cli.progress import progress_bar
    from airsift.errors import AirsiftError
    from stream.runner import run_source, stop_on_signals
    from stream.sinks.final import FinalEvents

    pipeline = build_pipeline(settings)
    rows = Rows(format, FIELDS)

    def write(event: Event) -> None:
        values = event.to_dict()
        rows.write(values if format is Format.jsonl else values | {"schema": event.kind})

    sink = FinalEvents(write)
    failed = False
    with stop_on_signals() as stop, ending_on_request(stop):
        for name in files:
            if stop.requested:
                break
            try:
                source = open_input(name, settings, stop, track)
                with closing(source), progress_bar(label_of(name), source.duration_s) as progress:
                    run_source(
                        source, pipeline, [sink], checkpoint_s=1.0, stop=stop, progress=progress
                    )
                for warning in source.warnings:
                    complain(f"airsift: {warning}")
                failed |= bool(source.warnings)
                if source.station not in sink.decided and not stop.requested:
                    raise too_short(label_of(name), source.decoded_s)
            except AirsiftError as error:
                report(error)
                failed = True
                sink.write(pipeline.push([], last=True))
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def too_short(name: str, decoded_s: float) -> Exception:
    """Return the error for a file in which nothing is decided."""
    from airsift.errors import DecodeError

    return DecodeError(
        f"{name}: {decoded_s:.2f} s of audio, but a decision needs 0.5 s without a gap; "
        f"give a longer recording"
    )
