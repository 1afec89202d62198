"""Rows on standard output for machines: the same bytes on a terminal, a pipe and a file."""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Mapping, Sequence

from airsift.cli.common import put, write_for_machines
from airsift.json_types import Json
from stream.lines import to_cell, to_json


class Format(enum.StrEnum):
    """Format of rows."""

    jsonl = "jsonl"
    csv = "csv"


class Rows:
    """Writes each row at once, as one line of UTF-8.

    Control codes are escaped in JSON. CSV has no escapes: there they become U+FFFD.

    Parameters
    ----------
    format : Format
        Whether a line is a JSON object, or a row of a table with a header.
    fields : sequence of str
        Columns of the table; other fields are left out of it.
    """

    def __init__(self, format: Format, fields: Sequence[str]) -> None:  # noqa: A002
        write_for_machines()
        self._format = format
        self._fields = fields
        if format is Format.csv:
            self._put(fields)

    def write(self, values: Mapping[str, Json]) -> None:
        """Write one row."""
        if self._format is Format.csv:
            self._put([to_cell(values.get(field)) for field in self._fields])
        else:
            put(to_json(values))

    def _put(self, cells: Sequence[Json]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(cells)
        put(line.getvalue())
