"""``airsift cut``: what is speech or music in a file, as files of their own or joined."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import (
    ConfigOption,
    SetOption,
    TrackOption,
    complain,
    inform,
    load_config,
    say,
)

if TYPE_CHECKING:
    from airsift.api.results import Segments
    from airsift.config import Config
    from stream.runner import Stop

LABELS = ("speech", "music", "speech_over_music", "other")


def cut(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An audio or video file.")],
    keep: Annotated[
        str,
        typer.Option(
            metavar="LABELS",
            help="What is kept: speech, music, speech_over_music, other; several with commas.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="One file of all that is kept."),
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option("--parts", metavar="FOLDER", help="A file for each stretch, in this folder."),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Cut at the sample, and encode again what has a lossy codec."),
    ] = False,
    fade: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Fade each stretch in and out; encodes again."),
    ] = 0.0,
    loudness: Annotated[
        float | None,
        typer.Option(
            min=-70, max=0, metavar="LUFS", help="Integrated loudness of each file; encodes again."
        ),
    ] = None,
    min_s: Annotated[
        float, typer.Option("--min", min=0, metavar="SECONDS", help="Leave out what is shorter.")
    ] = 1.0,
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Cut out what is speech or music.

    MP3, AAC and Opus are not encoded again: cuts then lie on packets, some milliseconds away. FLAC
    and WAV are cut at the sample, without loss. Nothing is overwritten.
    """
    from airsift.errors import ConfigError

    labels = [each.strip() for each in keep.split(",")]
    for each in labels:
        if each not in LABELS:
            raise ConfigError(f"--keep {each}: must be {', '.join(LABELS)}; several with commas")
    if (output is None) == (parts is None):
        raise ConfigError("cut: name a file with --output, or a folder with --parts; one of both")
    settings = load_config(config, sets)

    from airsift.cli.inputs import local_path
    from airsift.podcasts.cutting.cut import cut as cut_file
    from airsift.podcasts.cutting.cut import is_copied, joined, original_of
    from airsift.podcasts.cutting.cut import parts as parts_of
    from airsift.podcasts.cutting.samples import Treatment
    from airsift.podcasts.cutting.spans import kept_spans
    from stream.runner import stop_on_signals
    from stream.sinks.format import clock

    path = local_path(file)
    original = original_of(path, track)
    treatment = Treatment(fade, loudness)
    suffix = original.suffix if output is None else output.suffix
    copied = is_copied(original, suffix, treatment, exact=exact)
    if output is not None and output.exists():
        raise ConfigError(f"{output}: is there already; remove it, or give another name")
    with stop_on_signals() as stop:
        segments = _segments(path, settings, track, stop)
        spans = kept_spans(segments, labels, min_s)
        if not spans and not stop.requested:
            raise ConfigError(
                f"{path}: has no {' and no '.join(labels)} of {min_s:g} s or more, so nothing "
                "would be left; --keep others"
            )
        if output is not None:
            pieces = joined(output, spans)
        else:
            assert parts is not None
            pieces = parts_of(parts, path.stem, suffix, spans)
        try:
            if not stop.requested:
                for piece in pieces:
                    piece.path.parent.mkdir(parents=True, exist_ok=True)
                notes = cut_file(
                    path,
                    pieces,
                    original,
                    treatment,
                    copied=copied,
                    track=track,
                    on_time=lambda _: _check(stop),
                )
        except _Stopped:
            pass
    if stop.requested:
        raise typer.Exit(130)
    for note in notes:
        inform(f"airsift: {note}")
    for piece in pieces:
        kept_s = sum(end - start for start, end in piece.spans)
        if output is None:
            say(f"{piece.path}  {clock(piece.spans[0][0])} - {clock(piece.spans[0][1])}")
        else:
            count = f"{len(piece.spans)} stretch{'es' if len(piece.spans) > 1 else ''}"
            say(f"{piece.path}  {count}, {clock(kept_s)} of {clock(segments.duration_s)}")
    if segments.warnings:
        raise typer.Exit(1)


class _Stopped(Exception):
    """The user wants to end."""


def _check(stop: Stop) -> None:
    if stop.requested:
        raise _Stopped


def _segments(path: Path, settings: Config, track: str | None, stop: Stop) -> Segments:
    """Return the segments of a file; warnings of its audio are printed."""
    from airsift.api.engine import Analyser
    from airsift.cli.progress import progress_bar
    from stream.sources.file import FileSource

    # Only the labels count.
    plain = settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"voice": False}),
            "identify": settings.identify.model_copy(update={"catalogue": ""}),
            "repeats": settings.repeats.model_copy(update={"folder": ""}),
        }
    )
    source = FileSource(path, str(path), settings.file, track=track)
    with closing(source), progress_bar(str(path), source.duration_s) as progress:
        found = Analyser(plain).segments(source, stop=stop, progress=progress)
    for warning in found.warnings:
        complain(f"airsift: {warning}")
    return found
