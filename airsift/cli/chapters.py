"""``airsift chapters``: chapters of episodes, from talk, songs and what their series repeats."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import (
    ConfigOption,
    SetOption,
    complain,
    load_config,
    put,
    say,
    write_for_machines,
)
from airsift.cli.series import LatestOption, SeriesOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from airsift.config import Config
    from airsift.podcasts.chapters import Chapter
    from stream.runner import Stop


class ChapterFormat(StrEnum):
    """How chapters are written."""

    text = "text"
    json = "json"
    webvtt = "webvtt"
    podlove = "podlove"
    audio = "audio"


_BY_SUFFIX = {
    ".txt": ChapterFormat.text,
    ".json": ChapterFormat.json,
    ".vtt": ChapterFormat.webvtt,
    ".psc": ChapterFormat.podlove,
    ".xml": ChapterFormat.podlove,
}


def chapters(
    episodes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EPISODES]", help="Audio files; else all episodes of --series."),
    ] = None,
    series: SeriesOption = None,
    format: Annotated[  # noqa: A002 the user's word
        ChapterFormat | None,
        typer.Option(
            help="Lines for people, JSON chapters of Podcasting 2.0, WebVTT, Podlove Simple "
            "Chapters, or a copy of the audio that has them. By default as the name of --output "
            "ends; text on a terminal, else json."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE|FOLDER", help="Where they are written."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files that have other chapters in them."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write them into the audio files themselves.")
    ] = False,
    catalogue: Annotated[
        str | None, typer.Option(help="Folder of the catalogue that names songs and jingles.")
    ] = None,
    latest: LatestOption = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FOLDER",
            help="Where what is known of a series is stored; else repeats.folder, or the cache.",
        ),
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the chapters of episodes: talk, songs, adverts, and what was named.

    With --series, what comes back in other episodes marks where a part begins, and tells adverts.
    `airsift catalogue name` gives it a name, which its chapters then have in every episode.
    """
    from airsift.cli.inputs import local_path
    from airsift.errors import ConfigError
    from stream.lines import to_json

    if catalogue is not None:
        sets = [*(sets or []), f"identify.catalogue={to_json(catalogue)}"]
    settings = load_config(config, sets)
    if not episodes and series is None:
        raise ConfigError("chapters: name episodes, or a series with --series")
    if write and (output is not None or format not in (None, ChapterFormat.audio)):
        raise ConfigError("--write: writes into the audio files; leave out --output and --format")
    if latest is not None and series is None:
        raise ConfigError(f"--latest {latest}: is for the feed of --series; leave it out")
    if output is None and not write and format is ChapterFormat.audio:
        raise ConfigError("--format audio: name the copy with --output, or give --write instead")

    files = [local_path(each) for each in episodes or []]

    from stream.runner import stop_on_signals

    def target_for(wanted: list[Path]) -> _Target:
        return _Target(format, output, write, overwrite, wanted)

    with stop_on_signals() as stop:
        if series is None:
            failed = _each_alone(files, settings, target_for, store, stop)
        else:
            failed = _in_series(series, files, settings, target_for, store, latest, stop)
    if stop.requested:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _each_alone(
    episodes: list[Path],
    settings: Config,
    target_for: Callable[[list[Path]], _Target],
    store: Path | None,
    stop: Stop,
) -> bool:
    """Write chapters of episodes that are no series; return whether one failed."""
    from airsift.cli.folders import find_files
    from airsift.cli.series import catalogue_of, pipeline_of, store_of
    from airsift.podcasts.series import Series

    found = find_files(episodes)
    for problem in found.problems:
        complain(f"airsift: {problem}")
    failed = bool(found.failed)
    target = target_for(found.files)
    names = catalogue_of(settings)
    made = cache(lambda: pipeline_of(settings))
    for path in found.files:
        if stop.requested:
            break
        with store_of(store, settings, in_cache=False) as root:
            series = Series(str(path.absolute()), root)
            missing = series.add(
                [path], made, stop=stop, complain=lambda line: complain(f"airsift: {line}")
            )
            if stop.requested:
                break
            failed |= bool(missing)
            if not missing:
                chapters = series.chapters(path, settings.podcasts, names)
                failed |= not target.write(path, chapters)
    return failed


def _in_series(
    name: str,
    episodes: list[Path],
    settings: Config,
    target_for: Callable[[list[Path]], _Target],
    store: Path | None,
    latest: int | None,
    stop: Stop,
) -> bool:
    """Write chapters of episodes of a series; return whether one failed."""
    from airsift.cli.series import catalogue_of, episodes_of, read_episodes, store_of
    from airsift.podcasts.series import Series

    found, others, failed = episodes_of(name, settings, latest, stop)
    there = {path.resolve() for path in others}
    others += [path for path in episodes if path.resolve() not in there]
    wanted = episodes or others
    target = target_for(wanted)
    with store_of(store, settings, in_cache=True) as root:
        series = Series(found, root)
        missing = {path.resolve() for path in read_episodes(series, others, settings, stop)}
        names = catalogue_of(settings)
        if stop.requested:
            return True
        returning = series.returning(names)
        for path in wanted:
            if stop.requested:
                break
            if path.resolve() not in missing:
                of_episode = series.chapters(path, settings.podcasts, names, returning)
                failed |= not target.write(path, of_episode)
    return failed or bool(missing)


class _Target:
    """Where chapters go, checked before anything is read.

    Raises
    ------
    ConfigError
        Two episodes would have one file, or audio of that kind has no chapters.
    """

    def __init__(
        self,
        format_: ChapterFormat | None,
        output: Path | None,
        write: bool,
        overwrite: bool,
        wanted: list[Path],
    ) -> None:
        from airsift.errors import ConfigError
        from airsift.podcasts.chapter_files import FORMATS
        from airsift.podcasts.chapter_tags import has_chapters, writer_of

        self._folder: Path | None = None
        self._file: Path | None = None
        self._write = write
        self._overwrite = overwrite
        if output is not None and len(wanted) == 1 and output.suffix and not output.is_dir():
            self._file = output
            if format_ is None:
                format_ = _BY_SUFFIX.get(output.suffix.lower())
            if format_ is None and has_chapters(output):
                format_ = ChapterFormat.audio
            if format_ is None:
                ends = [*_BY_SUFFIX, *([wanted[0].suffix] if has_chapters(wanted[0]) else [])]
                raise ConfigError(
                    f"--output {output}: its name says no format; give --format, or end it in "
                    f"{', '.join(ends[:-1])} or {ends[-1]}"
                )
        elif output is not None:
            self._folder = output
        if format_ is None:
            on_terminal = output is None and sys.stdout.isatty()
            format_ = ChapterFormat.text if on_terminal else ChapterFormat.json
        self.format = ChapterFormat.audio if write else format_
        self._several = len(wanted) > 1
        if output is None and not write:
            if self._several and self.format is not ChapterFormat.text:
                raise ConfigError(
                    f"--format {self.format}: {len(wanted)} episodes need a file each; name a "
                    "folder with --output, or give --format text"
                )
            write_for_machines()
        if self.format is ChapterFormat.audio:
            for path in wanted:
                writer_of(path)
        self._suffix = "" if self.format is ChapterFormat.audio else FORMATS[self.format][1]
        places: dict[Path, Path] = {}
        for path in wanted:
            place = self._place(path)
            if place is None:
                continue
            if place in places:
                raise ConfigError(
                    f"--output {output}: {path} and {places[place]} would both be {place.name}; "
                    "write them into two folders"
                )
            places[place] = path
            if place.resolve() == path.resolve() and not write:
                raise ConfigError(
                    f"--output {output}: is where {path} itself is; give --write if its chapters "
                    "are to be written into it"
                )

    def write(self, path: Path, chapters: list[Chapter]) -> bool:
        """Write the chapters of an episode; return whether they are there now.

        What is in a file may have been corrected by hand, so it is replaced on request alone.
        """
        from filecmp import cmp
        from tempfile import TemporaryDirectory

        from airsift.files import write_whole
        from airsift.podcasts.chapter_files import FORMATS
        from airsift.podcasts.chapter_tags import write_chapters

        place = self._place(path)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
        if place is None:
            text = FORMATS[self.format][0](chapters)
            if self._several:
                say(str(path))
            put(text.rstrip("\n"))
            return True

        def make(file: Path) -> None:
            if self.format is ChapterFormat.audio:
                write_chapters(path, file, chapters)
            else:
                write_whole(file, FORMATS[self.format][0](chapters).encode())

        if self._write or self._overwrite or not place.is_file():
            make(place)
            return True
        with TemporaryDirectory(prefix=".airsift-", dir=place.parent) as folder:
            make(Path(folder) / place.name)
            is_same = cmp(Path(folder) / place.name, place, shallow=False)
        if not is_same:
            complain(
                f"airsift: {place}: exists already, with other chapters; replace it with "
                "--overwrite, or name another --output"
            )
        return is_same

    def _place(self, path: Path) -> Path | None:
        if self._write:
            return path
        if self._file is not None:
            return self._file
        if self._folder is None:
            return None
        return self._folder / (f"{path.stem}{self._suffix}" if self._suffix else path.name)
