"""Tables of a report as files: XLSX for spreadsheets, Parquet for analysis.

A station, a title or an artist may be called ``=HYPERLINK(...)``. In XLSX every text is written as
a text, so that no program computes it; CSV has no types, see `stream.lines.to_cell`.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from airsift.errors import ConfigError
from airsift.reports.tables import Kind
from stream.lines import without_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airsift.reports.tables import Table, Value

_MAX_ROWS = 1_048_576  # of a sheet of XLSX, with the header
_MAX_TEXT = 32_767  # characters of a cell, in UTF-16
# What XML does not have, besides control codes: one of them makes a workbook unreadable.
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
_EXTRA = {"xlsx": "openpyxl", "parquet": "pyarrow"}
_WIDTHS = {Kind.text: 24, Kind.time: 19, Kind.number: 12, Kind.integer: 8, Kind.flag: 8}


def check_library(name: str) -> None:
    """Refuse a format whose library is not installed.

    Raises
    ------
    ConfigError
        It is not.
    """
    library = _EXTRA[name]
    if find_spec(library) is None:
        raise ConfigError(
            f"--format {name} needs {library}: install airsift[reports], as with "
            "pip install 'airsift[reports]'"
        )


def xlsx_of(tables: Sequence[Table]) -> bytes:
    """Return tables as a workbook with a sheet for each. Times are those of the report's zone.

    Raises
    ------
    ConfigError
        A table has more rows than a sheet may have.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    bold = Font(bold=True)
    for table in tables:
        if len(table.rows) >= _MAX_ROWS:
            raise ConfigError(
                f"{table.name}: {len(table.rows)} rows are more than the {_MAX_ROWS - 1} of a "
                "sheet; choose a shorter period, fewer stations, or --format csv or parquet"
            )
        sheet = book.create_sheet(table.name)
        sheet.freeze_panes = "A2"
        for number, column in enumerate(table.columns, 1):
            width = max(_WIDTHS[column.kind], len(column.name) + 2)
            sheet.column_dimensions[get_column_letter(number)].width = width
        header = [WriteOnlyCell(sheet, column.name) for column in table.columns]
        for cell in header:
            cell.font = bold
        sheet.append(header)
        for row in table.rows:
            sheet.append([_cell(sheet, value) for value in row])
    data = BytesIO()
    book.save(data)
    return data.getvalue()


def parquet_of(table: Table, zone: tzinfo | None) -> bytes:
    """Return a table as a file of Parquet. Times are those of a zone, or UTC where it has no name.

    Parameters
    ----------
    table : Table
        The rows.
    zone : tzinfo, optional
        The report's.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    types = {
        Kind.text: arrow.string(),
        Kind.integer: arrow.int64(),
        Kind.number: arrow.float64(),
        Kind.flag: arrow.bool_(),
        Kind.time: arrow.timestamp("ms", getattr(zone, "key", "UTC")),
    }
    columns = {}
    for at, column in enumerate(table.columns):
        values = [_storable(row[at]) for row in table.rows]
        columns[column.name] = arrow.array(values, types[column.kind])
    data = BytesIO()
    parquet.write_table(arrow.table(columns), data, compression="zstd")
    return data.getvalue()


def _cell(sheet: Any, value: Value) -> Any:
    from openpyxl.cell import WriteOnlyCell

    if isinstance(value, datetime):
        cell = WriteOnlyCell(sheet, value.replace(tzinfo=None))
        cell.number_format = "yyyy-mm-dd hh:mm:ss"
        return cell
    if isinstance(value, str):
        cell = WriteOnlyCell(sheet, _text_of(value))
        cell.data_type = "s"  # else a text that begins with "=" is a formula
        return cell
    return value


def _text_of(value: str) -> str:
    """Return a text as a cell of XLSX can hold it."""
    text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", without_codes(value))
    return text.encode("utf-16-le")[: 2 * _MAX_TEXT].decode("utf-16-le", "ignore")


def _storable(value: Value) -> Value:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
