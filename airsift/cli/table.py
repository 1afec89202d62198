"""A table with the metadata of files."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import CatalogueError
from stream.lines import utf8

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_LINES = 10  # of one kind


class Table:
    """The rows of a CSV file with a column `file`.

    A row belongs to the files with its path or name; a path is relative to the working directory or
    to the table's folder. Both Unicode forms of accents match.

    Parameters
    ----------
    path : Path, optional
        The file; no rows without one.

    Raises
    ------
    CatalogueError
        It is no such table.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, dict[str, str]] = {}
        self._lines: dict[str, int] = {}
        self._repeated: list[str] = []
        if path is not None:
            self._read(path)

    def row(self, path: Path) -> dict[str, str]:
        """Return the row of a file; empty if there is none."""
        key = self._key(path)
        return {} if key is None else self._rows[key]

    def problems(self, files: Iterable[Path]) -> list[str]:
        """Return a line for each row that belongs to no file, and each file without a row."""
        if self._path is None:
            return []
        used, without = set(), []
        for path in files:
            key = self._key(path)
            used.add(key)
            if key is None:
                without.append(f"{path}: has no row in {self._path}: its tags or its name are used")
        unused = [
            f"{self._path}: line {self._lines[key]}: no file {row['file']!r} is among those given; "
            "give its path, or its name as it is written"
            for key, row in self._rows.items()
            if key not in used
        ]
        return _shortened(self._repeated) + _shortened(unused) + _shortened(without)

    def _key(self, path: Path) -> str | None:
        assert self._path is not None or not self._rows
        if not self._rows or self._path is None:
            return None
        names = [str(path), str(path.absolute()), path.name]
        for start in (self._path.parent, self._path.parent.absolute()):
            if path.absolute().is_relative_to(start.absolute()):
                names.insert(2, str(path.absolute().relative_to(start.absolute())))
        keys = (_normal(name) for name in names)
        return next((key for key in keys if key in self._rows), None)

    def _read(self, path: Path) -> None:
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                if "file" not in (reader.fieldnames or ()):
                    raise CatalogueError(
                        f"{path}: its columns are {', '.join(reader.fieldnames or ())}; it needs "
                        "one called `file`, with the path or the name of each audio file"
                    )
                for row in reader:
                    self._add(path, row, reader.line_num)
        except (UnicodeDecodeError, csv.Error) as error:
            raise CatalogueError(
                f"{path}: not a CSV table in UTF-8 ({error}); save it so"
            ) from error

    def _add(self, path: Path, row: dict[str, str], line: int) -> None:
        values = {k: v for k, v in row.items() if k and isinstance(v, str) and v}
        if not values:
            return
        if "file" not in values:
            self._repeated.append(f"{path}: line {line}: names no file; it is not used")
            return
        key = _normal(str(Path(values["file"])))
        if key in self._rows:
            self._repeated.append(
                f"{path}: line {line}: {values['file']!r} was in line {self._lines[key]} too; this "
                "one is used"
            )
        self._rows[key], self._lines[key] = values, line


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", utf8(name))


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _MAX_LINES
    if more <= 1:
        return lines
    return [*lines[:_MAX_LINES], f"and {more} more like the last one"]
