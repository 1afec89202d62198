"""``airsift trace``: one chunk's life on the topics, with times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import (
    ConfigOption,
    SetOption,
    inform,
    load_config,
    put,
    say,
    write_for_machines,
)
from airsift.cli.completion import complete_stations
from airsift.cli.publish import KafkaOption, with_broker

if TYPE_CHECKING:
    from stream.kafka.client.chunk_trace import ChunkTrace, Line


def trace(
    station: Annotated[
        str, typer.Argument(help="Name of the station.", autocompletion=complete_stations)
    ],
    moment: Annotated[
        str,
        typer.Argument(
            metavar="TIME", help='Time of the audio, as "15:04:30" or "2026-11-29T15:04Z".'
        ),
    ],
    within: Annotated[
        float,
        typer.Option(
            min=1,
            max=86_400,
            metavar="SECONDS",
            help="How far from that time its message is looked for, and then events.",
        ),
    ] = 60.0,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Zone of the time; else this machine's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print what became of the audio of a time: its message, events, snapshot, with delays.

    Delays count from the timestamp of the message.
    """
    from airsift.cli.moments import read_moment, zone_of

    found = read_moment(moment, zone_of(tz))
    if found.remark:
        inform(f"airsift: {found.remark}")
    settings = load_config(config, with_broker(kafka, sets)).kafka

    from stream.kafka.client.chunk_trace import trace_chunk
    from stream.runner import Stop

    # It only reads: Ctrl-C ends it at once, also while a broker does not answer.
    time_s = found.unix_ms / 1000
    traced = trace_chunk(settings, station, time_s, within_s=within, stop=Stop())
    if as_json:
        write_for_machines()
    for line in (traced.message, *traced.lines):
        put(_as_json(line, traced)) if as_json else say(_as_text(line, traced))
    if not traced.lines and not as_json:
        say(f"nothing was written about it within {within:g} s; see --within")


def _as_text(line: Line, traced: ChunkTrace) -> str:
    from stream.lines import iso_time

    when = iso_time(line.time_ms / 1000, "milliseconds")
    delay_s = (line.time_ms - traced.message.time_ms) / 1000
    trace_id = f"  trace {line.trace}" if line.trace else ""
    return f"{when}  {delay_s:+9.3f} s  {line.what:<11}  {line.text}  {line.where}{trace_id}"


def _as_json(line: Line, traced: ChunkTrace) -> str:
    from stream.lines import iso_time, to_json

    return to_json(
        {
            "time": iso_time(line.time_ms / 1000, "milliseconds"),
            "delay_s": (line.time_ms - traced.message.time_ms) / 1000,
            "what": line.what,
            "where": line.where,
            "text": line.text,
            "trace": line.trace or None,
            "event": line.event,  # type: ignore[dict-item]  # it is JSON
        }
    )
