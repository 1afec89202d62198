"""``airsift segment``: segments and matches of files."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, TrackOption, load_config
from airsift.cli.inputs import ending_on_request
from airsift.formats import FORMATS
from stream.lines import to_json

if TYPE_CHECKING:
    from airsift.formats import Format

FormatName = enum.StrEnum("FormatName", {name: name for name in FORMATS})  # type: ignore[misc]


def segment(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Audio or video files of any format, folders, patterns in quotes, http:// and "
            "https:// addresses; - is standard input.",
        ),
    ],
    format: Annotated[  # noqa: A002 the user's word
        FormatName | None,
        typer.Option(
            help="A table for people, or what another program reads.",
            show_default="table on a terminal, the suffix's with --output FILE, else jsonl",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="A folder for a file of each recording, with the folders of the input; or the "
            "file, whose name has an ending, of a single one. What is done is passed over when the "
            "command is given again.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew, and replace, what is there.")
    ] = False,
    catalogue: Annotated[
        str | None, typer.Option(help="Folder of the catalogue that identifies the music.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes; with 2 or more, several files at a time.")
    ] = 1,
    track: TrackOption = None,
    latest: Annotated[
        int | None,
        typer.Option(
            "--latest", metavar="N", min=1, help="How many episodes of a podcast's feed; else 10."
        ),
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the segments of speech and music in files, and identify the music.

    A folder stands for the audio files in it and below it, a pattern in quotes for what it
    matches, the address of a podcast's feed for its newest episodes.

    Exit codes: 0 all recordings were read, 1 some were not or were damaged, 2 the command line is
    wrong, 130 interrupted.
    """
    if catalogue is not None:
        sets = [*(sets or []), f"identify.catalogue={to_json(catalogue)}"]
    if jobs > 1:
        _start_processes(files, jobs)
    settings = load_config(config, sets)

    from airsift.cli.series import with_episodes

    files, is_missing = with_episodes(files, settings, latest)
    if not files:  # it was told why
        raise typer.Exit(1)
    target = Path(output) if output is not None else None
    is_folder = output is not None and _is_folder(output, files)
    chosen = _format(format, None if is_folder else target)
    if chosen.many == "apart" and target is None and not _is_one(files):
        raise typer.BadParameter(
            f"{chosen.name} holds one recording in a file: name a folder for the files with "
            "--output",
            param_hint="--format",
        )
    is_one = _is_one(files)

    from airsift.cli.segment_batch import Batch, to_file, to_folder, to_standard_output
    from stream.runner import stop_on_signals

    with stop_on_signals() as stop, ending_on_request(stop):
        batch = Batch(files, settings, track, chosen, jobs, stop, is_one)
        if target is None:
            is_whole = to_standard_output(batch)
        elif is_folder:
            is_whole = to_folder(batch, target, overwrite=overwrite)
        else:
            is_whole = to_file(batch, target, overwrite=overwrite)
    if stop.requested:
        raise typer.Exit(130)
    if is_missing or not is_whole:
        raise typer.Exit(1)


def _start_processes(files: list[str], jobs: int) -> None:
    """Start processes, as many as there are recordings, while this one reads its configuration."""
    from itertools import islice

    from airsift.batch.child import import_engine
    from airsift.batch.recordings import find_recordings
    from airsift.cli.processes import start_processes
    from airsift.inputs import is_address

    if _is_one(files) or any(map(is_address, files)):  # an address may be a feed of episodes
        return
    found = islice(find_recordings(files, lambda *_: None), jobs)
    start_processes(sum(1 for _ in found), import_engine)


def _format(name: FormatName | None, target: Path | None) -> Format:
    """Return the format that is asked for, by its name, by the file's name, or by default."""
    if name is not None:
        return FORMATS[str(name)]
    if target is not None:
        suffix = target.suffix.lower()
        suffix = {".m3u": ".m3u8"}.get(suffix, suffix)
        found = [each for each in FORMATS.values() if each.suffix.lower() == suffix]
        return found[0] if found else FORMATS["jsonl"]
    return FORMATS["table" if sys.stdout.isatty() else "jsonl"]


def _is_one(files: list[str]) -> bool:
    """Return whether the arguments are one recording."""
    from glob import has_magic

    from airsift.inputs import is_address

    if len(files) != 1:
        return False
    (name,) = files
    if name == "-" or is_address(name):
        return True
    return not Path(name).is_dir() and (Path(name).exists() or not has_magic(name))


def _is_folder(output: str, files: list[str]) -> bool:
    """Return whether ``--output`` is a folder.

    It is one, ends with /, is for several files, or is new and has no ending.
    """
    if not output:
        raise typer.BadParameter("is empty: name a folder or a file", param_hint="--output")
    target = Path(output)
    if target.is_dir() or output.endswith("/"):
        return True
    if _is_one(files):
        return not target.suffix and not target.exists()
    if target.exists():
        raise typer.BadParameter(
            f"{output} is a file, and there are several recordings: name a folder",
            param_hint="--output",
        )
    if target.suffix.lower() in {each.suffix.lower() for each in FORMATS.values()}:
        raise typer.BadParameter(
            f"{output} is the name of a file, and there are several recordings: name a folder, "
            "or end its name with /",
            param_hint="--output",
        )
    return True
