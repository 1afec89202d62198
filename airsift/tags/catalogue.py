"""The files of a catalogue with their tags: from a table, or from the files themselves."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.cli.folders import Found, find_files
from airsift.errors import CatalogueError
from airsift.tags.mapping import split_tags
from stream.lines import utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PATH = "path"
_TAGS = ("genre", "genres", "tag", "tags")
_MAX_FIELD = 1 << 20  # characters in a cell
# Of MP4: `stik` says which kind of media a file is, `pcst` that it is a podcast.
_MP4_AUDIOBOOK = 2
_GENRES = ("genre", "TCON", "\xa9gen", "WM/Genre", "Genre", "GENRE")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a catalogue.

    Parameters
    ----------
    path : Path
        Where it is.
    name : str
        How the catalogue writes its path.
    tags : tuple of str
        As the catalogue or the file spells them.
    """

    path: Path
    name: str
    tags: tuple[str, ...]


def read_entries(source: Path) -> tuple[list[Entry], Found]:
    """Return the files of a table or folder, each once, and the problems of finding them.

    Raises
    ------
    CatalogueError
        A table lacks a column or is none, or a folder has no audio.
    """
    if not source.is_dir():
        return _read_table(source)
    found = find_files([source])
    if not found.files:
        raise CatalogueError(found.problems[0] if found.problems else f"{source}: holds no audio")
    return [Entry(path, utf8(str(path)), own_tags(path)) for path in found.files], found


def own_tags(path: Path) -> tuple[str, ...]:
    """Return the genres that a file states itself, and whether it is an audiobook or podcast.

    A file whose tags cannot be read has none: whether it is audio, decoding it says.
    """
    import mutagen

    tags: list[str] = []
    try:
        file = mutagen.File(path)
        stored: Mapping[str, object] = getattr(file, "tags", None) or {}
        for key in _GENRES:
            tags += _texts(stored.get(key) if key in stored else None)
        if stored.get("stik") == [_MP4_AUDIOBOOK]:
            tags.append("audiobook")
        if stored.get("pcst") or "PCST" in stored:
            tags.append("podcast")
    except Exception:  # noqa: S110 mutagen raises all kinds on damaged tags
        pass
    if not tags:
        tags += _container_tags(path)
    return tuple(dict.fromkeys(part for tag in tags for part in split_tags(utf8(tag))))


def _container_tags(path: Path) -> list[str]:
    """Return the genre that FFmpeg finds, in formats that mutagen does not know."""
    from airsift.errors import AirsiftError
    from stream.decoding.container import open_container

    try:
        with open_container(path, str(path), {}, None) as container:
            each = [container.metadata, *(stream.metadata for stream in container.streams)]
    except AirsiftError:
        return []
    return [value for some in each for key, value in some.items() if key.lower() == "genre"]


def _texts(value: object) -> list[str]:
    """Return the texts of a tag: a list of them, or a frame of ID3 that has them."""
    genres = getattr(value, "genres", value)  # a frame of ID3 spells its numbers out
    if isinstance(genres, list | tuple):
        return [str(each) for each in genres]
    return [] if genres is None else [str(genres)]


def _read_table(path: Path) -> tuple[list[Entry], Found]:
    entries: dict[str, Entry] = {}
    found = Found()
    csv.field_size_limit(_MAX_FIELD)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = {name.strip().lower(): name for name in reader.fieldnames or ()}
            given = ", ".join(names) or "none"
            tags = [names[name] for name in _TAGS if name in names]
            if _PATH not in names or not tags:
                raise CatalogueError(
                    f"{path}: its columns are {given}; it needs `path`, and `genre` or `tags`. To "
                    "check the tags in the files themselves, give their folder"
                )
            for row in reader:
                entry = _entry(path, row.get(names[_PATH]), (row.get(name) for name in tags))
                line = reader.line_num
                if entry is None:
                    found.problems.append(f"{path}: line {line}: names no file; it is left out")
                    found.failed += 1
                elif str(entry.path) in entries:
                    found.problems.append(
                        f"{path}: line {line}: {entry.name!r} is there twice; its first row is used"
                    )
                else:
                    entries[str(entry.path)] = entry
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogueError(
            f"{path}: not a CSV table in UTF-8 ({error}); save it so, or give a folder"
        ) from error
    if not entries:
        raise CatalogueError(f"{path}: lists no files; give it a row for each file")
    return list(entries.values()), found


def _entry(table: Path, name: str | None, cells: Iterable[str | None]) -> Entry | None:
    """Return the entry of a row; a relative path is relative to the table's folder."""
    if not name or not name.strip():
        return None
    tags = [tag for cell in cells for tag in split_tags(cell or "")]
    home = os.path.expanduser(name.strip())  # noqa: PTH111 - pathlib's raises for unknown users
    path = table.absolute().parent / home
    return Entry(path, name.strip(), tuple(dict.fromkeys(tags)))
