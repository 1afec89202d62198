"""``airsift report``: what stations played in a period, as a page, a table or a report of use."""

from __future__ import annotations

import csv
import enum
import io
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import (
    ConfigOption,
    SetOption,
    complain,
    inform,
    load_config,
    put,
    write_for_machines,
)
from airsift.cli.completion import complete_stations
from airsift.cli.history import known_stations, read_time
from airsift.cli.moments import local, zone_of
from airsift.errors import ConfigError
from stream.lines import to_cell, to_json

if TYPE_CHECKING:
    from airsift.reports.delivery import Delivery
    from airsift.reports.report import Report
    from airsift.reports.tables import Table
    from stream.sources.settings import HttpSettings


class Output(enum.StrEnum):
    """Format of a report."""

    html = "html"
    csv = "csv"
    json = "json"
    xlsx = "xlsx"
    parquet = "parquet"
    soundexchange = "soundexchange"
    ddex = "ddex"


_SUFFIXES = {f".{each}": each for each in (Output.html, Output.csv, Output.json, Output.xlsx,
                                          Output.parquet)}  # fmt: skip
_ROYALTIES = (Output.soundexchange, Output.ddex)
_BINARY = (Output.xlsx, Output.parquet)


def report(
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="As 2026-11-01, or monday.")
    ] = "yesterday",
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="A day: its end. Default: the end of that day."),
    ] = None,
    station: Annotated[
        list[str] | None,
        typer.Option(
            help="Its name; repeatable. Default: all stations.", autocompletion=complete_stations
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Stations of this group of the file of --stations.")
    ] = None,
    stations: Annotated[
        Path | None, typer.Option(help="TOML file of stations, for --group.")
    ] = None,
    output_format: Annotated[
        Output | None,
        typer.Option("--format", help="Default: by the ending of --output, else html."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="Of csv and parquet: playlist (default), tracks, hours, days, unknown, outages, "
            "alarms or stations."
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What soundexchange and ddex ask for; repeatable."),
    ] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            help="Of html: identify.clips.folder, for the sound of each play, or "
            "repeats.folder, for that of unknown pieces; repeatable."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, or a folder for a name by the format. Default: standard output.",
        ),
    ] = None,
    silence_dbfs: Annotated[
        float,
        typer.Option(min=-120, max=0, help="Other sounds up to this level count as silence."),
    ] = -60.0,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="As Europe/Berlin; default: this machine's.")
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Report what stations played in a period, from the history.

    Playlist with seconds in the foreground and under speech, rotation, shares of music, speech and
    talk-over by hour, unknown music, outages and alarms; SoundExchange's Report of Use and DDEX's
    flat file for radio.
    """
    ending = "" if output is None else output.suffix.lower()
    chosen = output_format or _SUFFIXES.get(ending, Output.html)
    _check(chosen, table, field, group, stations, clips or [])
    settings = load_config(config, sets)
    zone = zone_of(tz)

    from airsift.connect import check_history

    check_history()
    from airsift.reports.report import Report, report_station
    from airsift.reports.tables import Part
    from stream.history.reader import open_history

    if table is not None and table not in [part.value for part in Part]:
        raise ConfigError(f"--table {table}: must be one of {', '.join(Part)}")
    since, until = _period(begin, end, zone)
    _check_days(chosen, since, until, zone)
    made = round(datetime.now(UTC).timestamp() * 1000)
    if since >= made:
        raise ConfigError(
            f"--from {begin}: {local(since, zone):%Y-%m-%d %H:%M} is still to come; name a time "
            "that is past"
        )
    with open_history(settings.database) as opened:
        asked = station
        if group is not None:
            assert stations is not None
            asked = [*(station or ()), *_members(stations, group, settings.http)]
            asked = [name for name in dict.fromkeys(asked) if name in opened.stations()]
        names = list(dict.fromkeys(known_stations(opened, asked)))
        if not names:
            raise ConfigError("nothing is stored of these stations; `airsift history` lists them")
        if until > made:
            inform("airsift: the period is not over; the report ends now")
        ended = min(until, made)
        if chosen in _ROYALTIES:
            ended = until  # it names the days; what is not over yet is just not stored
        reports = [report_station(opened, name, since, ended, zone, silence_dbfs) for name in names]
        if not asked:  # events of files have no time
            reports = [each for each in reports if each.first_ms is not None]
        found = Report(since, ended, made, zone, reports)
    _write(found, chosen, Part(table or Part.playlist), field or [], clips or [], output)


def _check(
    chosen: Output,
    table: str | None,
    field: Sequence[str] | None,
    group: str | None,
    stations: Path | None,
    clips: Sequence[Path],
) -> None:
    if clips and chosen is not Output.html:
        raise ConfigError(f"--clips {clips[0]}: is for --format html alone")
    for folder in clips:
        if not folder.is_dir():
            raise ConfigError(
                f"--clips {folder}: is no folder; name that of identify.clips.folder or of "
                "repeats.folder"
            )
    if table is not None and chosen not in (Output.csv, Output.parquet):
        raise ConfigError(f"--table {table}: --format {chosen} has all tables; leave it out")
    if field and chosen not in _ROYALTIES:
        raise ConfigError(f"--field {field[0]}: is for --format {' and '.join(_ROYALTIES)} alone")
    if (group is None) != (stations is None):
        raise ConfigError(
            "--group and --stations belong together: a group is one of the file's stations"
        )
    if chosen in _BINARY:
        from airsift.reports.spreadsheets import check_library

        check_library(chosen.value)


def _period(begin: str, end: str | None, zone: tzinfo | None) -> tuple[int, int]:
    since = read_time(begin, zone)
    if end is None:
        from airsift.reports.days import whole_day

        return since, whole_day(since, zone)[1]
    until = read_time(end, zone, is_end=True)
    if until <= since:
        raise ConfigError(
            f"--to {end}: is {local(until, zone):%Y-%m-%d %H:%M}, not after --from, "
            f"{local(since, zone):%Y-%m-%d %H:%M}"
        )
    return since, until


def _check_days(chosen: Output, since: int, until: int, zone: tzinfo | None) -> None:
    if chosen not in _ROYALTIES:
        return
    from airsift.reports.days import whole_day

    if whole_day(since, zone)[0] != since or whole_day(until, zone)[0] != until:
        raise ConfigError(f"--format {chosen} reports whole days: give dates to --from and --to")


def _members(path: Path, group: str, http: HttpSettings) -> list[str]:
    """Return the stations of a group of a file."""
    from stream.stations.entry import read_stations

    read = read_stations(path, http)
    for problem in read.problems:
        complain(f"airsift: {problem.text}")
    names = [entry.name for entry in read.entries if entry.group == group]
    if not names:
        groups = sorted({entry.group for entry in read.entries} - {""})
        raise ConfigError(
            f"--group {group}: no station of {path} is in it; it has "
            f"{', '.join(groups) or 'no groups'}"
        )
    return names


def _write(
    found: Report,
    chosen: Output,
    part: str,
    field: Sequence[str],
    clips: Sequence[Path],
    output: Path | None,
) -> None:
    from airsift.reports import tables
    from airsift.reports.tables import Part, table_of

    remarks: tuple[str, ...] = ()
    day = local(found.since, found.zone)
    name = f"airsift-{day:%Y-%m-%d}.{chosen}"
    if chosen is Output.html:
        data, remarks = _page(found, clips)
    elif chosen is Output.csv:
        data = csv_of(table_of(found, Part(part)))
    elif chosen is Output.json:
        data = f"{to_json(tables.as_object(found))}\n".encode()
    elif chosen is Output.xlsx:
        from airsift.reports.spreadsheets import xlsx_of

        data = xlsx_of([table_of(found, each) for each in Part])
    elif chosen is Output.parquet:
        from airsift.reports.spreadsheets import parquet_of

        data = parquet_of(table_of(found, Part(part)), found.zone)
    else:
        delivery = _deliver(found, chosen, field)
        data, name, remarks = delivery.data, delivery.name, delivery.remarks
    _put(data, output, name, is_binary=chosen in _BINARY)
    for remark in remarks:
        inform(f"airsift: {remark}")


def _page(found: Report, folders: Sequence[Path]) -> tuple[bytes, tuple[str, ...]]:
    from airsift.reports.page import page_of

    if not folders:
        return page_of(found), ()
    from airsift.reports.clips import Clips

    clips = Clips(folders)
    data = page_of(found, clips)
    if not clips.left_out:
        return data, ()
    return data, (f"{clips.left_out} clips are left out, the page would be too large",)


def _deliver(found: Report, chosen: Output, field: Sequence[str]) -> Delivery:
    if chosen is Output.ddex:
        from airsift.reports.ddex import sales_report

        return sales_report(found, field)
    from airsift.reports.soundexchange import report_of_use

    return report_of_use(found, field)


def csv_of(table: Table) -> bytes:
    """Return a table as CSV in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.rows:
        writer.writerow([_in_cell(value) for value in row])
    return text.getvalue().encode("utf-8", "replace")


def _in_cell(value: str | float | bool | datetime | None) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, bool):
        return to_json(value)
    return to_cell(value)


def _put(data: bytes, output: Path | None, name: str, *, is_binary: bool) -> None:
    if output is None:
        if is_binary and sys.stdout.isatty():
            raise ConfigError(
                "--format xlsx and parquet are not for a terminal: give --output FILE"
            )
        sys.stdout.flush()
        if is_binary:
            sys.stdout.buffer.write(data)
        else:
            write_for_machines()
            sys.stdout.write(data.decode())
        sys.stdout.flush()
        return
    from airsift.files import write_whole

    path = output / name if output.is_dir() else output
    write_whole(path, data)
    if path.is_file():  # not behind the report, as with --output /dev/stdout
        put(str(path))
