"""``airsift plot``: a file on one time axis, as a picture or a page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, TrackOption, complain, inform, load_config
from airsift.cli.inputs import ending_on_request
from airsift.inputs import is_address, label_of, open_input
from stream.lines import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airsift.config import Config
    from airsift.timeline.recorder import Timeline
    from stream.runner import Stop

KINDS = (".png", ".svg", ".html")


def plot(
    file: Annotated[
        str,
        typer.Argument(
            help="An audio or video file of any format, or its http:// or https:// address; - is "
            "standard input."
        ),
    ],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="Ends with .png, .svg or .html; may be repeated. Default: the name of the file, "
            "with .png, in the current folder, which replaces no file.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="True labels: a label track of Audacity, a CSV with the columns start_s, end_s, "
            "label and, optionally, name, or the output of `airsift segment`."
        ),
    ] = None,
    catalogue: Annotated[
        str | None, typer.Option(help="Folder of the catalogue that identifies the music.")
    ] = None,
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Plot waveform, CQT, posteriors, segments and songs of a file on one time axis.

    The HTML page needs no network. It zooms and scrolls, and plays the file if it is small.
    """
    if catalogue is not None:
        sets = [*(sets or []), f"identify.catalogue={to_json(catalogue)}"]
    settings = load_config(config, sets)

    from airsift.timeline import labels, page, picture
    from stream.runner import stop_on_signals

    outputs = _outputs(file, output)
    picture.check_installed()
    true = labels.read_labels(truth) if truth is not None else []
    with stop_on_signals() as stop, ending_on_request(stop):
        timeline = _compute(file, settings, track, stop)
    if timeline is None:
        raise typer.Exit(130)
    for path in outputs:
        if path.suffix.lower() == ".html":
            page.write(timeline, true, path, None if is_address(file) else Path(file))
        else:
            picture.draw(timeline, true, path)
        inform(f"{path}: {picture.title(timeline, true)}")


def _outputs(file: str, output: Sequence[Path] | None) -> list[Path]:
    """Return the files to write.

    Raises
    ------
    ConfigError
        One has another suffix or no folder, or there is no name to make one from, or a file of
        the default name is there.
    """
    from airsift.errors import ConfigError

    if not output and (file == "-" or is_address(file)):
        raise ConfigError(f"{label_of(file)}: name the picture with --output, as --output it.png")
    outputs = list(output or [Path(f"{Path(file).stem}.png")])
    if not output and outputs[0].exists():  # the picture of an episode has its name, too
        raise ConfigError(
            f"{outputs[0]}: exists already; --output {outputs[0]} replaces it, or name another"
        )
    for path in outputs:
        if path.suffix.lower() not in KINDS:
            raise ConfigError(f"--output {path}: must end with {', '.join(KINDS)}")
        if not path.parent.is_dir():
            raise ConfigError(f"--output {path}: there is no folder {path.parent}; make it first")
    return outputs


def _compute(file: str, settings: Config, track: str | None, stop: Stop) -> Timeline | None:
    """Run the pipeline over a file; return nothing if it was interrupted.

    Raises
    ------
    AirsiftError
        The file cannot be read, or is too short.
    """
    from airsift.api.engine import too_short
    from airsift.build import build_pipeline
    from airsift.cli.progress import progress_bar
    from airsift.networks import model_file
    from airsift.timeline.recorder import Recorder
    from model.weights import read_spec
    from stream.runner import run_source

    source = open_input(file, settings, stop, track)
    pipeline = build_pipeline(settings)
    spec = read_spec(model_file(settings))
    recorder = Recorder(pipeline, fmin_hz=spec.fmin_hz, bins_per_octave=spec.bins_per_octave)
    with closing(source), progress_bar(label_of(file), source.duration_s) as progress:
        run_source(source, pipeline, [], checkpoint_s=1.0, stop=stop, progress=progress,
                   observer=recorder)  # fmt: skip
    if stop.requested:
        return None
    for warning in source.warnings:
        complain(f"airsift: {warning}")
    name = label_of(file)
    timeline = recorder.timeline(name if is_address(file) else Path(name).name)
    if not timeline.posteriors.used:
        raise too_short(label_of(file), source.decoded_s)
    return timeline
