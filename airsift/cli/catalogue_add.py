"""Adding files to a catalogue: selection, metadata, and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from airsift.cli.catalogue_read import Read, read_all
from airsift.cli.common import complain, in_words, inform
from airsift.cli.folders import find_files
from airsift.cli.progress import files_bar
from airsift.cli.table import Table
from airsift.errors import CatalogueError
from airsift.track_files import TAGS, tags_of
from fingerprint.duplicates import SAME_RECORDING, NearDuplicate, find_near_duplicate
from fingerprint.settings import SAMPLE_RATE
from fingerprint.track import Track
from stream.lines import utf8
from stream.sinks.format import song

if TYPE_CHECKING:
    from airsift.json_types import JsonObject, JsonScalar
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

    def add(self, outcome: Outcome) -> None:
        """Count what became of a file."""
        self.added += outcome.result == "added"
        self.present += outcome.result == "present"
        self.duplicates += outcome.result == "duplicate"
        self.failed += outcome.result == "failed"
        self.damaged += outcome.result == "added" and bool(outcome.problems)

    def __str__(self) -> str:
        words = [f"{self.added} added", f"{self.present} already there"]
        words += [f"{self.duplicates} duplicates left out"] if self.duplicates else []
        words += [f"{self.damaged} damaged"] if self.damaged else []
        return ", ".join([*words, f"{self.failed} failed"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    Parameters
    ----------
    name : str
        The file.
    result : str
        ``added``, ``present`` (the catalogue has this very file), ``duplicate`` (it has the audio,
        and the file was left out) or ``failed``.
    track : Track, optional
        The track that it is in the catalogue, where that is known.
    near : NearDuplicate, optional
        Another track that it shares audio with.
    problems : tuple of str
        A line for each damage, or why it failed.
    """

    name: str
    result: Literal["added", "present", "duplicate", "failed"]
    track: Track | None = None
    near: NearDuplicate | None = None
    problems: tuple[str, ...] = ()

    def print(self) -> None:
        """Print what people should know of it."""
        for problem in self.problems:
            complain(f"airsift: {problem}")
        if self.near is not None and self.result == "duplicate":
            inform(f"airsift: {self.name}: left out: {_likeness(self.near)}")
        elif self.near is not None:
            inform(
                f"airsift: {self.name}: was added, and {_likeness(self.near)}; see whether you "
                "want both"
            )

    def to_dict(self) -> JsonObject:
        """Return it as an object of JSON."""
        like: JsonObject | None = None
        if self.near is not None:
            like = {
                "track": self.near.track,
                "title": self.near.title,
                "artist": self.near.artist,
                "share": round(self.near.coverage, 3),
                "share_of_other": round(self.near.coverage_of_reference, 3),
                "text": _likeness(self.near),
            }
        return {
            "file": self.name,
            "result": self.result,
            "track": None if self.track is None else fields_of(self.track),
            "like": like,
            "problems": [*self.problems],
        }


def fields_of(track: Track) -> JsonObject:
    """Return a track as an object of JSON, with its duration in seconds."""
    return {
        "key": track.key,
        "title": track.title,
        "artist": track.artist,
        "album": track.album,
        "isrc": track.isrc,
        "label": track.label,
        "content": track.content,
        "extra": track.extra,
        "recording": track.recording,
        "duration_s": round(track.duration / SAMPLE_RATE, 3),
    }


def add_files(
    catalogue: Catalogue,
    paths: list[Path],
    table: Path | None,
    *,
    skip: bool,
    jobs: int,
    track: str | None = None,
    name: str | None = None,
    report: Callable[[Outcome], None] = Outcome.print,
) -> Counts:
    """Add every file; report each, and continue after one that fails.

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
    name : str, optional
        Name of the one file, instead of that on disk.
    report : callable
        Takes what became of each file; it prints what people should know unless given.

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
            shown = name or str(path)
            advance(name or path.name)
            if not isinstance(read, Read):
                outcome = _failed(path, shown, read)
            elif read.landmarks is None or read.content in present:
                its = catalogue.named(named.row(path).get("key", "") or read.content)
                outcome = Outcome(shown, "present", its)
            else:
                try:
                    metadata = _named(path, name, read.content, named)
                    outcome = _add(catalogue, shown, read, read.landmarks, metadata, skip=skip)
                except CatalogueError as error:  # of this track; a full disk ends the loop
                    outcome = _failed(path, shown, error)
                else:
                    if outcome.result == "added":
                        present.add(read.content)
            counts.add(outcome)
            report(outcome)
    return counts


def _add(
    catalogue: Catalogue, shown: str, read: Read, landmarks: Landmarks, track: Track, *, skip: bool
) -> Outcome:
    near = find_near_duplicate(catalogue, landmarks)
    if skip and near is not None and near.coverage >= SAME_RECORDING:
        return Outcome(shown, "duplicate", catalogue.named(near.track), near)
    like = catalogue.named(near.track) if near is not None and near.is_copy else None
    if like is not None:
        track = replace(track, recording=like.recording)
    stored = catalogue.add_landmarks(landmarks, track)
    return Outcome(shown, "added", stored, near, tuple(read.warnings))


def _likeness(near: NearDuplicate) -> str:
    """Return a description of what two tracks share."""
    other = f"{near.track} ({song(near.artist, near.title)})"
    share, there = f"{near.coverage:.0%}", f"{near.coverage_of_reference:.0%}"
    if near.coverage >= SAME_RECORDING and near.coverage_of_reference >= SAME_RECORDING:
        return f"it is the same recording as {other}: {share} of it matches"
    if near.coverage >= SAME_RECORDING:
        return f"it is a part of {other}: {share} of it matches, which is {there} of that"
    return f"it shares {share} of its sound with {other}, which is {there} of that"


def _failed(path: Path, shown: str, error: Exception) -> Outcome:
    message = in_words(error)
    line = message if str(path) in message else f"{shown}: {message}"
    return Outcome(shown, "failed", problems=(line,))


def _named(path: Path, name: str | None, content: str, table: Table) -> Track:
    """Return the metadata of a file: from the table, else its tags, else its name."""
    row = table.row(path)
    file = utf8(name or path.name)
    fields = {"key": content, "title": Path(file).stem, **tags_of(path), **row}
    others = {name: value for name, value in row.items() if name not in (*_KNOWN, "file")}
    key, title, artist, album, isrc, label = (fields.get(name, "") for name in _KNOWN)
    extra: dict[str, JsonScalar] = {"file": file, **others}
    return Track(key, title, artist, album, isrc, label, content=content, extra=extra)
