"""Adding files to a catalogue: which files, what they are called, and what went wrong."""

from __future__ import annotations

import csv
import hashlib
import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError, CatalogueError
from fingerprint.matcher import LandmarkMatcher
from fingerprint.metadata import Track
from fingerprint.settings import SAMPLE_RATE
from stream.cli._context import complain, in_words
from stream.sinks.text import song

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.catalogue import Catalogue
    from fingerprint.matcher import Matcher, TrackMatch

# Files in a folder that are not audio by their name are passed over in silence; a file that
# was named is always tried.
_AUDIO = (
    *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".flac", ".m4a", ".mka", ".mkv", ".mov"),
    *(".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".spx", ".tta", ".wav", ".webm"),
    *(".wma", ".wv"),
)
_KNOWN = ("key", "title", "artist", "album", "isrc")


# This much of a new track's middle is looked for in the others before it is added.
_PROBE_S = 20


@dataclass(slots=True)
class Counts:
    """What became of the files."""

    added: int = 0
    present: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was read; `samples` is None where the catalogue has it already."""

    content: str
    samples: NDArray[np.float32] | None
    warnings: list[str]


def add_files(catalogue: Catalogue, paths: list[Path], table: Path | None) -> Counts:
    """Add every file; complain about those that fail, in one line each, and go on.

    Raises
    ------
    CatalogueError
        If another process is writing to the catalogue, the disk is full, or the table cannot
        be read.
    """
    rows = {} if table is None else _read_table(table)
    files = list(_files(paths))
    counts = Counts()
    with catalogue.writing(), _bar(len(files)) as advance:
        present = {track.content for track in catalogue.tracks()}
        matcher = LandmarkMatcher(catalogue, thorough=False)
        for path, reading in _read_ahead(files, frozenset(present)):
            advance(path.name)
            try:
                file = reading.result()
                if file.samples is None or file.content in present:
                    counts.present += 1
                    continue
                for warning in file.warnings:
                    complain(f"airsift: {warning}")
                track = _named(path, file.content, rows)
            except (AirsiftError, OSError) as error:
                _failed(path, error, counts)
                continue
            alike = _alike(matcher, file.samples)
            try:
                catalogue.add(file.samples, track)
            except CatalogueError as error:  # of this track; a full disk ends the loop
                _failed(path, error, counts)
                continue
            if alike is not None:
                complain(
                    f"airsift: {path}: was added, and shares sound with {alike.track} "
                    f"({song(alike.artist, alike.title)}); remove one if they are the same"
                )
            present.add(file.content)
            counts.added += 1
    return counts


def _read_ahead(files: list[Path], present: frozenset[str]) -> Iterator[tuple[Path, Future[_File]]]:
    """Read files on other threads, one more at a time than there are processors."""
    at_once = (os.cpu_count() or 1) + 1
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[tuple[Path, Future[_File]]] = deque()
        try:
            for path in files:
                waiting.append((path, pool.submit(_read, path, present)))
                if len(waiting) == at_once:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read(path: Path, present: frozenset[str]) -> _File:
    from stream.sources.file import read_file

    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if content in present:
        return _File(content, None, [])
    warnings: list[str] = []
    return _File(content, read_file(path, warnings=warnings), warnings)


def _alike(matcher: Matcher, samples: NDArray[np.float32]) -> TrackMatch | None:
    """Return the track that is heard in the middle of another, if one is."""
    middle, reach = len(samples) // 2, _PROBE_S * SAMPLE_RATE // 2
    found = matcher.match(matcher.extract(samples[max(middle - reach, 0) : middle + reach]))
    return max(found, key=lambda match: match.score, default=None)


def _failed(path: Path, error: Exception, counts: Counts) -> None:
    """Count and tell; the catalogue knows a track by its key, people know the file."""
    message = in_words(error)
    complain(f"airsift: {message if str(path) in message else f'{path}: {message}'}")
    counts.failed += 1


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(
                file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in _AUDIO
            )
        else:
            yield path


def _named(path: Path, content: str, rows: dict[str, dict[str, str]]) -> Track:
    """Return what a file is called: by the table, else by its tags, else by its name."""
    row = rows.get(str(path)) or rows.get(path.name) or {}
    said = {"key": content, "title": path.stem, **_tags(path), **row}
    extra = {name: value for name, value in row.items() if name not in (*_KNOWN, "file")}
    key, title, artist, album, isrc = (said.get(name, "") for name in _KNOWN)
    extra = {"file": path.name, **extra}
    return Track(key, title, artist, album, isrc, content=content, extra=extra)


def _tags(path: Path) -> dict[str, str]:
    import mutagen

    try:
        tags = mutagen.File(path, easy=True) or {}
    except (mutagen.MutagenError, OSError):
        return {}  # audio without tags we can read is still audio
    said = {name: str(tags[name][0]).strip() for name in _KNOWN[1:] if tags.get(name)}
    return {name: value for name, value in said.items() if value}


def _read_table(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or ()):
                raise CatalogueError(
                    f"{path}: its columns are {', '.join(reader.fieldnames or ())}; it needs one "
                    "called `file`, with the path or the name of each audio file"
                )
            return {row["file"]: {k: v for k, v in row.items() if k and v} for row in reader}
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogueError(f"{path}: not a CSV table in UTF-8 ({error}); save it so") from error


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], None]]:
    """Show progress on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        done = -1

        def advance(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, description=name, completed=done)

        yield advance
