"""Adding files to a catalogue: selection, metadata, and errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.cli.catalogue_read import Read, read_all
from airsift.cli.common import complain, in_words, inform
from airsift.cli.folders import find_files
from airsift.cli.progress import files_bar
from airsift.cli.table import Table
from airsift.errors import CatalogueError
from airsift.track_files import TAGS, tags_of
from fingerprint.duplicates import SAME_RECORDING, NearDuplicate, find_near_duplicate
from fingerprint.track import Track
from stream.lines import utf8
from stream.sinks.format import song

if TYPE_CHECKING:
    from airsift.json_types import JsonScalar
    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.catalogue import Catalogue

_KNOWN = ("key", *TAGS)


@dataclass(slots=True)
class Counts:
    """Results, counted."""

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
    catalogue: Catalogue,
    paths: list[Path],
    table: Path | None,
    *,
    skip: bool,
    jobs: int,
    track: str | None = None,
) -> Counts:
    """Add every file; print one line for each that fails, and continue.

    Parameters
    ----------
    catalogue : Catalogue
        The catalogue.
    paths : list of Path
        Files, and folders of them.
    table : Path, optional
        CSV file with their metadata.
    skip : bool
        Whether to skip tracks that are in the catalogue under another name.
    jobs : int > 0
        Processes that read files.
    track : str, optional
        Number, language or title of the audio track; the default one unless given.

    Raises
    ------
    CatalogueError
        If there are no files, another process is writing to the catalogue, the disk is full, or
        the table cannot be read.
    """
    named = Table(table)
    found = find_files(paths)
    files = found.files
    counts = Counts(failed=found.failed)
    *problems, last = found.problems or [""]
    if last and files:
        problems.append(last)
    for problem in problems + named.problems(files):
        complain(f"airsift: {problem}")
    if not files:
        raise CatalogueError(last or "there are no files to add; name some")
    with catalogue.writing(), files_bar(len(files)) as advance:
        present = catalogue.contents()
        for path, read in read_all(files, frozenset(present), jobs, track):
            advance(path.name)
            if not isinstance(read, Read):
                _failed(path, read, counts)
            elif read.landmarks is None or read.content in present:
                counts.present += 1
            else:
                try:
                    _add(catalogue, path, read, read.landmarks, named, counts, skip=skip)
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
    table: Table,
    counts: Counts,
    *,
    skip: bool,
) -> None:
    near = find_near_duplicate(catalogue, landmarks)
    if skip and near is not None and near.coverage >= SAME_RECORDING:
        counts.duplicates += 1
        inform(f"airsift: {path}: left out: {_likeness(near)}")
        return
    track = _named(path, read.content, table)
    like = catalogue.named(near.track) if near is not None and near.is_copy else None
    if like is not None:
        track = replace(track, recording=like.recording)
    catalogue.add_landmarks(landmarks, track)
    counts.added += 1
    counts.damaged += bool(read.warnings)
    for warning in read.warnings:
        complain(f"airsift: {warning}")
    if near is not None:
        inform(f"airsift: {path}: was added, and {_likeness(near)}; see whether you want both")


def _likeness(near: NearDuplicate) -> str:
    """Return a description of what two tracks share."""
    other = f"{near.track} ({song(near.artist, near.title)})"
    share, there = f"{near.coverage:.0%}", f"{near.coverage_of_reference:.0%}"
    if near.coverage >= SAME_RECORDING and near.coverage_of_reference >= SAME_RECORDING:
        return f"it is the same recording as {other}: {share} of it matches"
    if near.coverage >= SAME_RECORDING:
        return f"it is a part of {other}: {share} of it matches, which is {there} of that"
    return f"it shares {share} of its sound with {other}, which is {there} of that"


def _failed(path: Path, error: Exception, counts: Counts) -> None:
    """Count and print an error, with the name of the file."""
    message = in_words(error)
    complain(f"airsift: {message if str(path) in message else f'{path}: {message}'}")
    counts.failed += 1


def _named(path: Path, content: str, table: Table) -> Track:
    """Return the metadata of a file: from the table, else its tags, else its name."""
    row = table.row(path)
    fields = {"key": content, "title": utf8(path.stem), **tags_of(path), **row}
    others = {name: value for name, value in row.items() if name not in (*_KNOWN, "file")}
    key, title, artist, album, isrc, label = (fields.get(name, "") for name in _KNOWN)
    extra: dict[str, JsonScalar] = {"file": utf8(path.name), **others}
    return Track(key, title, artist, album, isrc, label, content=content, extra=extra)
