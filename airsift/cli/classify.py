"""``airsift classify``: probabilities of non-overlapping windows of files."""

from __future__ import annotations

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
from airsift.cli.segment import too_short

if TYPE_CHECKING:
    from airsift.cli.web_input import UrlFile
    from stream.offline import ClipClassifier
    from stream.runner import Stop
    from stream.sources.file import FileSource

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

    from airsift.build import build_model
    from airsift.errors import AirsiftError
    from stream.offline import ClipClassifier
    from stream.runner import stop_on_signals

    classifier = ClipClassifier(*build_model(settings))
    rows = Rows(format, (*FIELDS, *(f"p_{label}" for label in classifier.labels)))
    failed = False
    with stop_on_signals() as stop, ending_on_request(stop):
        for name in files:
            if stop.requested:
                break
            try:
                failed |= not _classify_file(
                    open_input(name, settings, stop, track), name, classifier, rows, stop
                )
            except AirsiftError as error:
                report(error)
                failed = True
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _classify_file(
    source: FileSource | UrlFile, name: str, classifier: ClipClassifier, rows: Rows, stop: Stop
) -> bool:
    """Write a row for each window of one file; return whether all of it could be read."""
    from contextlib import closing

    n_windows = 0
    with closing(source):
        for window in classifier.windows(source):
            n_windows += 1
            rows.write(
                {
                    "file": label_of(name),
                    "start_s": round(window.start / window.rate, 3),
                    "end_s": round(window.end / window.rate, 3),
                    **{f"p_{label}": round(p, 4) for label, p in window.probabilities.items()},
                }
            )
            if stop.requested:
                return True
    for warning in source.warnings:
        complain(f"airsift: {warning}")
    if not n_windows and not stop.requested:
        raise too_short(label_of(name), source.decoded_s)
    return not source.warnings
