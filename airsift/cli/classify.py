"""``airsift classify``: probabilities of non-overlapping windows of files."""

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
from airsift.cli.inputs import Inputs, ending_on_request
from airsift.cli.rows import Format, Rows
from airsift.inputs import label_of, open_input

if TYPE_CHECKING:
    from airsift.config import Config
    from airsift.json_types import JsonObject
    from stream.runner import Stop
    from stream.sources.base import Recording

FIELDS = ("file", "start_s", "end_s")


def classify(
    files: Inputs,
    format: Annotated[Format, typer.Option(help="A table, or one JSON object a line.")] = (  # noqa: A002 the user's word
        Format.csv
    ),
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Predict the 5 s windows of files one by one, without their surroundings.

    The last window of a file has what is left, and is left out below 0.5 s. model.path may name a
    network of any labels.
    """
    settings = load_config(config, sets)

    from airsift.api.engine import clip_classifier_of
    from airsift.errors import AirsiftError
    from stream.runner import stop_on_signals

    labels = clip_classifier_of(settings).labels
    rows = Rows(format, (*FIELDS, *(f"p_{label}" for label in labels)))
    failed = False
    with stop_on_signals() as stop, ending_on_request(stop):
        for name in files:
            if stop.requested:
                break
            try:
                recording = open_input(name, settings, stop, track)
                failed |= not _classify(recording, label_of(name), settings, rows, stop)
            except AirsiftError as error:
                report(error)
                failed = True
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _classify(recording: Recording, name: str, settings: Config, rows: Rows, stop: Stop) -> bool:
    """Write a row for each window of one file; return whether all of it could be read."""
    from airsift.api.classifying import each_window

    with closing(recording):
        try:
            for window in each_window(recording, settings, stop=stop):
                row: JsonObject = {"file": name, "start_s": window.start_s, "end_s": window.end_s}
                row |= {f"p_{label}": p for label, p in window.probabilities.items()}
                rows.write(row)
        finally:
            if not stop.requested:
                for warning in recording.warnings:
                    complain(f"airsift: {warning}")
    return not recording.warnings
