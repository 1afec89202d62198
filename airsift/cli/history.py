"""``airsift history``: what stations played, from the database."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from airsift.cli.common import ConfigOption, SetOption, inform, load_config, put, write_for_machines
from airsift.cli.completion import complete_stations
from airsift.cli.history_record import record
from airsift.cli.moments import local, read_moment, zone_of
from airsift.cli.rows import Format, Rows
from airsift.errors import ConfigError
from stream.lines import one_line, to_json

if TYPE_CHECKING:
    from airsift.json_types import JsonObject
    from stream.history.plays import Play
    from stream.history.reader import History
    from stream.history.rows import Row

SHOWN = ("segment", "match", "gap")  # unless --kind says otherwise
DEFAULT = timedelta(hours=24)
_BATCH = 500  # rows that are divided into foreground and under speech at once
_CSV = (
    "station", "kind", "begin", "end", "length_s", "label", "score", "final", "track", "artist",
    "title", "album", "isrc", "record_label", "foreground_s", "under_speech_s", "other_s", "id",
    "rule", "severity", "reason", "text",
)  # fmt: skip


app = typer.Typer(invoke_without_command=True)
app.command(name="record")(record)


@app.callback()
def history(
    context: typer.Context,
    station: Annotated[
        list[str] | None,
        typer.Option(
            help="Its name; repeatable. Default: all stations.", autocompletion=complete_stations
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="What played at this time.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Events from then on; default: 24 hours ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Events until then; a day: its end.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Segments of speech, music, speech_over_music or other.")
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(help="Songs: a track's key, its ISRC, or words of artist and title."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="match (songs), segment, share, repeat, gap, alarm, level or decision; "
            "repeatable. Default: match, segment and gap."
        ),
    ] = None,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="As Europe/Berlin; default: this machine's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table for spreadsheets.")] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print what stations played, from the database of `airsift run`.

    TIME is "15:04", "yesterday 15:04", "2 hours ago", "monday", "2026-11-29 15:04" or
    "2026-11-29T15:04Z". Without options, the stations are listed.
    """
    if context.invoked_subcommand is not None:
        if given := [name for name, value in context.params.items() if value]:
            raise ConfigError(
                f"airsift history {context.invoked_subcommand}: its options come behind its name, "
                f"and --{given[0].removeprefix('as_').replace('_', '-')} is before it"
            )
        return
    if as_json and as_csv:
        raise ConfigError("--json and --csv: choose one of the two")
    # An option that is given is meant, also where a script has no value for it.
    for name, text in (("label", label), ("track", track)):
        if text is not None and not text.strip():
            raise ConfigError(f"--{name}: is empty; write what is asked for, or leave it out")
    in_time = since is not None or until is not None
    of_events = in_time or label is not None or track is not None
    if at is not None and (of_events or as_csv):
        raise ConfigError(
            "--at gives what played at one time: leave out --since, --until, --label, --track and "
            "--csv"
        )
    settings = load_config(config, sets)
    zone = zone_of(tz)
    _check_kinds(kind or ())

    from airsift.connect import check_history

    check_history()
    from stream.history.reader import open_history

    if as_json:
        write_for_machines()
    with open_history(settings.database) as opened:
        names = known_stations(opened, station)
        if at is not None:
            _print_moment(opened, names, read_time(at, zone), zone, as_json=as_json)
        elif not (station or kind or of_events):
            _print_stations(opened, zone, as_json=as_json, as_csv=as_csv)
        else:
            bounds = _bounds(since, until, zone, everything=track is not None)
            kinds = kind or (["match"] if track else ["segment"] if label else list(SHOWN))
            found = opened.rows(
                station, kinds, *bounds, label=label, track=track, undated=not in_time
            )
            _print_rows(
                divided(opened, found),
                zone,
                many=len(names) > 1,
                songs="match" in kinds,
                as_json=as_json,
                as_csv=as_csv,
            )


def _check_kinds(asked: Sequence[str]) -> None:
    from stream.history.settings import Kind

    for kind in asked:
        if kind not in get_args(Kind):
            raise ConfigError(f"--kind {kind}: must be one of {', '.join(get_args(Kind))}")


def divided(opened: History, rows: Iterable[Row]) -> Iterator[tuple[Row, Play | None]]:
    """Yield rows, songs with how much of them was in the foreground and under speech."""
    from stream.history.plays import plays

    rest = iter(rows)
    while batch := list(islice(rest, _BATCH)):
        songs: dict[str, list[Row]] = {}
        for row in batch:
            if row.kind == "match":
                songs.setdefault(row.station, []).append(row)
        found = {
            play.row.key: play for name, some in songs.items() for play in plays(opened, name, some)
        }
        yield from ((row, found.get(row.key)) for row in batch)


def known_stations(opened: History, asked: Sequence[str] | None) -> list[str]:
    """Return the stations that are meant; refuse those of which nothing is stored."""
    names = opened.stations()
    for name in asked or ():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "`airsift history` lists the stations"
            raise ConfigError(f"--station {name}: nothing is stored of it; {hint}")
    return list(asked) if asked else names


def read_time(text: str, zone: tzinfo | None, *, is_end: bool = False) -> int:
    """Return a time as people write it, in Unix milliseconds; say what is doubtful about it."""
    moment = read_moment(text, zone, is_end=is_end)
    if moment.remark:
        inform(f"airsift: {moment.remark}")
    return moment.unix_ms


def _bounds(
    since: str | None, until: str | None, zone: tzinfo | None, *, everything: bool
) -> tuple[int | None, int | None]:
    end = None if until is None else read_time(until, zone, is_end=True)
    if since is not None:
        begin = read_time(since, zone)
    elif everything:
        return None, end
    else:
        before = round(datetime.now(UTC).timestamp() * 1000) if end is None else end
        begin = before - round(DEFAULT.total_seconds() * 1000)
    if end is not None and end <= begin:
        raise ConfigError(
            f"--until {until}: is {local(end, zone):%Y-%m-%d %H:%M}, not after --since, "
            f"{local(begin, zone):%Y-%m-%d %H:%M}"
        )
    return begin, end


def _print_stations(opened: History, zone: tzinfo | None, *, as_json: bool, as_csv: bool) -> None:
    from airsift.cli.history_text import station_lines

    spans = opened.spans()
    if not (as_json or as_csv):
        for line in station_lines(spans, zone):
            put(line)
        return
    rows = Rows(Format.csv if as_csv else Format.jsonl, ("station", "kinds", "first", "last"))
    for span in spans:
        kinds = " ".join(span.kinds) if as_csv else list(span.kinds)
        first, last = (
            None if ms is None else _iso(ms, zone) for ms in (span.first_ms, span.last_ms)
        )
        rows.write({"station": span.station, "kinds": kinds, "first": first, "last": last})


def _print_moment(
    opened: History, names: Sequence[str], at_ms: int, zone: tzinfo | None, *, as_json: bool
) -> None:
    if len(names) != 1:
        raise ConfigError(f"--at needs one --station; {len(names)} are stored or named")
    from airsift.cli.history_text import moment_lines

    found = dict[str, list[tuple["Row", "Play | None"]]]()
    rows = opened.rows(names, None, at_ms, at_ms + 1)
    for row, play in divided(opened, rows):
        if row.kind not in ("decision", "level"):
            found.setdefault(row.kind, []).append((row, play))
    if as_json:
        answer: JsonObject = {"station": names[0], "at": _iso(at_ms, zone)}
        for kind, key in (
            ("match", "matches"),
            ("segment", "segments"),
            ("label", "labels"),
            ("share", "shares"),
            ("repeat", "repeats"),
            ("gap", "gaps"),
            ("alarm", "alarms"),
        ):
            answer[key] = [as_object(row, play) for row, play in found.get(kind, [])]
        put(to_json(answer))
        return
    [span] = [span for span in opened.spans() if span.station == names[0]]
    for line in moment_lines(span, at_ms, zone, found):
        put(line)


def _print_rows(
    rows: Iterable[tuple[Row, Play | None]],
    zone: tzinfo | None,
    *,
    many: bool,
    songs: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    from airsift.cli.history_text import Listing

    if as_json:
        for row, play in rows:
            put(to_json(as_object(row, play)))
        return
    if as_csv:
        table = Rows(Format.csv, _CSV)
        for row, play in rows:
            table.write(_cells(row, play, zone))
        return
    listing = Listing(sys.stdout, zone, many=many, songs=songs)
    for row, play in rows:
        for line in listing.lines(row, play):
            put(line)
    if listing.is_empty:
        inform("airsift: nothing is stored of that; `airsift history` lists what there is")


def as_object(row: Row, play: Play | None) -> JsonObject:
    """Return an event as it was published, a song with the seconds of its parts."""
    from stream.history.rows import published

    more: Mapping[str, float] = {}
    if play is not None:
        more = {
            "foreground_s": round(play.foreground_s, 3),
            "under_speech_s": round(play.under_speech_s, 3),
            "other_s": round(play.other_s, 3),
        }
    return {**published(row), **more}


def _cells(row: Row, play: Play | None, zone: tzinfo | None) -> JsonObject:
    event = as_object(row, play)
    begin, end = (None if ms is None else _iso(ms, zone) for ms in (row.starts_ms, row.ends_ms))
    length = round((row.end - row.start) / row.rate, 3)
    own: JsonObject = {"kind": row.kind, "begin": begin, "end": end, "length_s": length}
    if row.final is not None:
        own["final"] = to_json(row.final)
    return {**event, **own}


def _iso(unix_ms: int, zone: tzinfo | None) -> str:
    return one_line(local(unix_ms, zone).isoformat(timespec="milliseconds"))
