"""``airsift stations``: what the stations of a list are."""

from __future__ import annotations

import enum
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.at_once import at_once
from airsift.cli.common import ConfigOption, SetOption, complain, load_config, say
from airsift.cli.rows import Format, Rows
from airsift.errors import ConfigError

if TYPE_CHECKING:
    from airsift.config import Config
    from stream.audio import AudioChunk
    from stream.stations.check import Checked
    from stream.stations.entry import StationEntry

app = typer.Typer(no_args_is_help=True, help="Many stations in one process.")

_AT_ONCE = 32  # most of the time is waiting for servers
_CHANNELS = {1: "mono", 2: "stereo"}


class Output(enum.StrEnum):
    """How stations are printed."""

    text = "text"
    csv = "csv"
    jsonl = "jsonl"


@app.callback()
def stations() -> None:
    """Check the stations of a list for `airsift run --stations`."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="TOML file of [[stations]].")],
    output: Annotated[Output, typer.Option("--format", help="text, csv or jsonl.")] = Output.text,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Open every station once; print what it is, and how long its first audio takes.

    Exit code 1 if an entry is wrong, or a station gives no audio.
    """
    settings = load_config(config, sets)
    from stream.stations.check import Checked
    from stream.stations.check import check as check_station
    from stream.stations.entry import read_stations

    read = read_stations(file, settings.http, settings.kafka, settings.alarms.rules)
    for problem in read.problems:
        complain(f"airsift: {problem.text}")
    if not (read.entries or read.problems):
        raise ConfigError(f"{file} has no station: add [[stations]]")
    rows = None
    if output is not Output.text:
        rows = Rows(Format(output.value), list(Checked.__dataclass_fields__))
    look = partial(
        check_station,
        http=settings.http,
        microphone=settings.microphone,
        kafka=partial(_of_kafka, settings),
    )
    failed = len(read.problems)
    for checked in at_once(look, list(read.enabled.values()), _AT_ONCE):
        failed += bool(checked.problem)
        if rows is not None:
            rows.write(asdict(checked))
        else:
            say(_in_words(checked))
    if failed:
        raise typer.Exit(1)


def _of_kafka(config: Config, entry: StationEntry) -> tuple[str, AudioChunk, int]:
    """Wait for the next audio of a station of Kafka."""
    from airsift.connect import kafka_of
    from stream.kafka.client.peek import peek

    kafka = kafka_of(entry, config)
    found = peek(kafka, entry.key, kafka.connect_timeout_s)
    return found.content_type, found.chunk, found.channels


def _in_words(checked: Checked) -> str:
    """Return one line about a station."""
    if checked.problem:
        return f"{checked.station}: FAILS: {checked.problem}"
    channels = _CHANNELS.get(checked.channels, f"{checked.channels} channels")
    parts = [
        f"{checked.codec} {checked.rate / 1000:g} kHz {channels}",
        checked.kind,
        f"first audio after {checked.first_audio_s:.1f} s",
    ]
    parts += [checked.name] * bool(checked.name)
    parts += [f"plays {checked.title}"] * bool(checked.title)
    return f"{checked.station}: {', '.join(parts)}"
