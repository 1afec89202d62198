"""Adding files to a catalogue: which files, what they are called, and what went wrong."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from fingerprint.alike import SAME, Alike, find_alike
from fingerprint.metadata import Track
from stream.cli._context import complain, in_words
from stream.cli._progress import files_bar
from stream.cli._reading import Read, read_all
from stream.sinks.text import song

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fingerprint.catalogue import Catalogue
    from fingerprint.landmarks import Landmarks

# Files in a folder that are not audio by their name are passed over in silence; a file that
# was named is always tried.
_AUDIO = (
    *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".flac", ".m4a", ".mka", ".mkv", ".mov"),
    *(".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".spx", ".tta", ".wav", ".webm"),
    *(".wma", ".wv"),
)
_KNOWN = ("key", "title", "artist", "album", "isrc")


@dataclass(slots=True)
class Counts:
    """What became of the files."""

    added: int = 0
    present: int = 0
    duplicates: int = 0
    damaged: int = 0
    failed: int = 0

    def __str__(self) -> str:
        words = [f"{self.added} added", f"{self.present} already there"]
        words += [f"{self.duplicates} duplicates left out"] if self.duplicates else []
        words += [f"{self.damaged} damaged"] if self.damaged else []
        return ", ".join([*words, f"{self.failed} failed"])


def add_files(
    catalogue: Catalogue, paths: list[Path], table: Path | None, *, skip: bool, jobs: int
) -> Counts:
    """Add every file; complain about those that fail, in one line each, and go on.

    Parameters
    ----------
    catalogue : Catalogue
        Where to.
    paths : list of Path
        Files, and folders of them.
    table : Path, optional
        What they are called.
    skip : bool
        Whether tracks are left out that are in the catalogue under another name.
    jobs : int > 0
        Processes that read files.

    Raises
    ------
    CatalogueError
        If another process is writing to the catalogue, the disk is full, or the table cannot
        be read.
    """
    rows = {} if table is None else _read_table(table)
    files = list(_files(paths))
    counts = Counts()
    with catalogue.writing(), files_bar(len(files)) as advance:
        present = catalogue.contents()
        for path, read in read_all(files, frozenset(present), jobs):
            advance(path.name)
            if not isinstance(read, Read):
                _failed(path, read, counts)
            elif read.landmarks is None or read.content in present:
                counts.present += 1
            else:
                try:
                    _add(catalogue, path, read, read.landmarks, rows, counts, skip=skip)
                except CatalogueError as error:  # of this track; a full disk ends the loop
                    _failed(path, error, counts)
                else:
                    present.add(read.content)
    return counts


def _add(
    catalogue: Catalogue,
    path: Path,
    read: Read,
    landmarks: Landmarks,
    rows: dict[str, dict[str, str]],
    counts: Counts,
    *,
    skip: bool,
) -> None:
    alike = find_alike(catalogue, landmarks)
    if skip and alike is not None and alike.share >= SAME:
        counts.duplicates += 1
        complain(f"airsift: {path}: left out: {_likeness(alike)}")
        return
    catalogue.add_landmarks(landmarks, _named(path, read.content, rows))
    counts.added += 1
    counts.damaged += bool(read.warnings)
    for warning in read.warnings:
        complain(f"airsift: {warning}")
    if alike is not None:
        complain(f"airsift: {path}: was added, and {_likeness(alike)}; see whether you want both")


def _likeness(alike: Alike) -> str:
    """Say what two tracks have in common."""
    other = f"{alike.track} ({song(alike.artist, alike.title)})"
    share, there = f"{alike.share:.0%}", f"{alike.there:.0%}"
    if alike.share >= SAME and alike.there >= SAME:
        return f"it is the same recording as {other}: {share} of it is heard there"
    if alike.share >= SAME:
        return f"it is a part of {other}: {share} of it is heard there, and is {there} of that"
    return f"it shares {share} of its sound with {other}, which is {there} of that"


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
