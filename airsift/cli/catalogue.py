"""``airsift catalogue``: the tracks that airsift can identify."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli import repeats
from airsift.cli.common import (
    ConfigOption,
    SetOption,
    TrackOption,
    complain,
    load_config,
    put,
    say,
    write_for_machines,
)
from airsift.cli.inputs import local_path
from stream.lines import to_json
from stream.sinks.format import clock, song

if TYPE_CHECKING:
    from airsift.cli.catalogue_add import Outcome
    from fingerprint.catalogue import Catalogue

app = typer.Typer(no_args_is_help=True, help="The tracks that airsift can identify.")

CatalogueOption = Annotated[
    str | None,
    typer.Option("--catalogue", help="Folder of the catalogue; else identify.catalogue."),
]


@app.command()
def add(
    paths: Annotated[list[str], typer.Argument(help="Audio files, and folders of them.")],
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Table with a column `file` and any of key, title, artist, album, isrc, "
            "label; other columns are kept as extra fields. It overrides the tags of the files."
        ),
    ] = None,
    skip_duplicates: Annotated[
        bool,
        typer.Option(
            "--skip-duplicates",
            help="Skip tracks whose audio is in the catalogue already.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Reading processes; default: one per processor."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the file, of one that is called otherwise on disk."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
    track: TrackOption = None,
    catalogue: CatalogueOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Add audio files; files that are in the catalogue already are skipped.

    After an interruption, run it again. Exit code 1 if a file failed or was damaged.
    """
    from airsift.cli.catalogue_add import Outcome, add_files
    from airsift.errors import ConfigError
    from fingerprint.catalogue import Catalogue

    found = [local_path(each) for each in paths]
    if name is not None and (len(found) != 1 or found[0].is_dir()):
        raise ConfigError(f"--name {name}: is the name of one file; name one, and no folder")
    if as_json:
        write_for_machines()
    report = _put_outcome if as_json else Outcome.print
    opened = Catalogue.create(_folder(catalogue, config, sets))
    jobs = jobs or len(os.sched_getaffinity(0))
    counts = add_files(
        opened, found, csv, skip=skip_duplicates, jobs=jobs, track=track, name=name, report=report
    )
    if not as_json:
        say(f"{counts}; {opened.stats()['tracks']} tracks in {opened.folder}")
    if counts.failed or counts.damaged:
        raise typer.Exit(1)


@app.command()
def create(
    catalogue: CatalogueOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Create an empty catalogue; an existing one is unchanged."""
    from fingerprint.catalogue import Catalogue

    opened = Catalogue.create(_folder(catalogue, config, sets))
    print(f"{opened.stats()['tracks']} tracks in {opened.folder}")
    opened.close()


@app.command(name="list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    catalogue: CatalogueOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the tracks, in the order they were added."""
    from dataclasses import asdict

    from fingerprint.settings import SAMPLE_RATE

    if as_json:
        write_for_machines()
    firsts: dict[str, str] = {}  # key of the first track of each recording
    for track in _open(catalogue, config, sets).tracks():
        first = firsts.setdefault(track.recording, track.key)
        if as_json:
            fields = asdict(track)
            fields["duration_s"] = round(fields.pop("duration") / SAMPLE_RATE, 3)
            put(to_json(fields))
        else:
            length = clock(track.duration / SAMPLE_RATE, tenths=False)
            copy = "" if first == track.key else f"  (same recording as {first})"
            say(f"{track.key}  {length:>7}  {song(track.artist, track.title)}{copy}")


@app.command()
def remove(
    keys: Annotated[list[str], typer.Argument(help="Keys, as `list` prints them.")],
    catalogue: CatalogueOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Remove tracks: all, or none if a key is unknown."""
    _open(catalogue, config, sets).remove(*keys)


@app.command()
def match(
    files: Annotated[list[str], typer.Argument(help="Audio files of any length and format.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    track: TrackOption = None,
    catalogue: CatalogueOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the tracks found in files, and where."""
    from dataclasses import asdict

    from airsift.errors import AirsiftError
    from fingerprint.analysis.track_landmarks import LandmarkExtractor
    from fingerprint.matching.long_queries import match_long_with_shares
    from fingerprint.matching.matcher import LandmarkMatcher
    from stream.sources.file import read_pieces

    if as_json:
        write_for_machines()
    matcher = LandmarkMatcher(_open(catalogue, config, sets))
    failed = False
    for path in [local_path(each) for each in files]:
        warnings: list[str] = []
        try:
            extractor = LandmarkExtractor()
            for piece in read_pieces(path, warnings=warnings, track=track):
                extractor.push(piece)
            found, shares = match_long_with_shares(matcher, extractor.finish())
        except AirsiftError as error:
            warnings.append(str(error))
            found, shares = [], []
        for warning in warnings:
            complain(f"airsift: {warning}")
        failed |= bool(warnings)
        for answer in found:
            if as_json:
                fields = {"file": str(path), **asdict(answer)}
                del fields["copies"], fields["rivals"], fields["recording"]
                fields["alternatives"] = [asdict(name) for name in answer.alternatives]
                rate = fields.pop("rate")
                for name in ("query_start", "query_end", "track_start"):
                    fields[f"{name}_s"] = round(fields.pop(name) / rate, 2)
                duration = fields.pop("duration")
                fields["track_duration_s"] = round(duration / rate, 3) if duration else None
                put(to_json(fields))
            else:
                start, end, place = (
                    clock(samples / answer.rate)
                    for samples in (answer.query_start, answer.query_end, answer.track_start)
                )
                say(
                    f"{path}  {start} - {end}  {song(answer.artist, answer.title)} "
                    f"[{answer.track}] from {place}, score {answer.score:.1f}"
                )
        for share in shares:
            first_s, last_s = share.query_start / share.rate, share.query_end / share.rate
            if as_json:
                fields = {"seconds": round(last_s - first_s, 2), "query_start_s": round(first_s, 2)}
                fields |= {"track": share.track, "title": share.title, "artist": share.artist}
                put(to_json({"file": str(path), "shares": fields}))
            else:
                say(
                    f"{path}  {clock(first_s)} - {clock(last_s)}  another piece, shares "
                    f"{last_s - first_s:.0f} s of a loop with {song(share.artist, share.title)} "
                    f"[{share.track}]"
                )
        if not found and not shares and not as_json and not warnings:
            say(f"{path}  nothing of the catalogue")
    if failed:
        raise typer.Exit(1)


@app.command()
def stats(
    catalogue: CatalogueOption = None, config: ConfigOption = None, sets: SetOption = None
) -> None:
    """Print the catalogue's size as one JSON object."""
    write_for_machines()
    opened = _open(catalogue, config, sets)
    put(to_json(opened.stats()))


@app.command()
def verify(
    catalogue: CatalogueOption = None, config: ConfigOption = None, sets: SetOption = None
) -> None:
    """Read the whole catalogue and print its problems; exit code 1 if there are any."""
    from fingerprint.catalogue import Catalogue

    opened = Catalogue.open(_folder(catalogue, config, sets))
    wrong = opened.verify()
    for line in wrong:
        complain(f"airsift: {line}")
    if wrong:
        raise typer.Exit(1)
    say(f"{opened.folder}: {len(opened.tracks())} tracks, all in order")


@app.command()
def merge(
    catalogue: CatalogueOption = None, config: ConfigOption = None, sets: SetOption = None
) -> None:
    """Merge all segments, without removed and damaged tracks; fastest to search."""
    _open(catalogue, config, sets).merge()


def _put_outcome(outcome: Outcome) -> None:
    put(to_json(outcome.to_dict()))


def _folder(catalogue: str | None, config: Path | None, sets: list[str] | None) -> Path:
    from airsift.errors import ConfigError

    if catalogue is None:
        catalogue = load_config(config, sets).identify.catalogue
    if not catalogue:
        raise ConfigError(
            "identify.catalogue is empty, so no catalogue is named: give --catalogue FOLDER, or "
            "set the key"
        )
    return Path(catalogue)


def _open(catalogue: str | None, config: Path | None, sets: list[str] | None) -> Catalogue:
    """Open the catalogue; print what cannot be read, and use the rest."""
    from fingerprint.catalogue import Catalogue

    opened = Catalogue.open(_folder(catalogue, config, sets))
    for problem in opened.problems:
        complain(f"airsift: {problem}")
    return opened


app.command()(repeats.name)
