"""``airsift publish``: send the audio of a station to Kafka."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, TrackOption, complain, inform, load_config
from airsift.errors import ConfigError
from stream.lines import to_json


class Codec(StrEnum):
    """Encoding of messages."""

    PCM = "pcm"
    F32 = "f32"
    FLAC = "flac"
    OPUS = "opus"
    MP3 = "mp3"


KafkaOption = Annotated[
    str | None,
    typer.Option("--kafka", metavar="HOST:PORT", help="Broker; over kafka.bootstrap_servers."),
]


def publish(
    source: Annotated[str, typer.Argument(help="A file, a URL, or microphone.")],
    station: Annotated[str, typer.Option(help="Name of the station: the messages' key.")],
    realtime: Annotated[bool, typer.Option("--realtime", help="At real time (default).")] = (False),
    fast: Annotated[bool, typer.Option("--fast", help="As fast as possible.")] = False,
    speed: Annotated[
        float | None, typer.Option(min=0.01, max=10_000, help="Times real time.")
    ] = None,
    codec: Annotated[Codec, typer.Option(help="Encoding of the messages.")] = Codec.FLAC,
    chunk_ms: Annotated[
        int, typer.Option(min=20, max=30_000, help="Milliseconds in a message.")
    ] = 500,
    end: Annotated[
        bool, typer.Option(help="Whether the stream ends where the source does.")
    ] = True,
    track: TrackOption = None,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Send the audio of a station to Kafka, in messages that decode independently."""
    if realtime + fast + (speed is not None) > 1:
        raise ConfigError("--realtime, --fast and --speed: give one of them")
    if not station:
        raise ConfigError("--station '': give the station's name, 1 to 200 printable characters")
    if source == "kafka":
        raise ConfigError("publish reads a file, a URL or microphone, and writes to Kafka")
    settings = load_config(config, with_broker(kafka, sets))

    from airsift.connect import open_source, open_tracing
    from stream.kafka.client.publish import publish as send
    from stream.kafka.codec.headers import station_of
    from stream.runner import stop_on_signals

    station_of(os.fsencode(station))
    opened = open_source(source, station, settings, track=track)
    try:
        with (
            open_tracing(settings, settings.kafka.topics.audio) as tracing,
            stop_on_signals() as stop,
        ):
            done = send(
                opened,
                settings.kafka,
                stop=stop,
                codec=codec.value,
                chunk_ms=chunk_ms,
                speed=None if fast else (speed or 1.0),
                ends=end,
                trace_of=tracing.sent if tracing else None,
            )
    finally:
        opened.close()
    inform(
        f"published {done.seconds:.1f} s of {station} to {settings.kafka.topics.audio}: "
        f"{done.messages} {codec.value} messages, {done.bytes / 1e6:.1f} MB"
    )
    for warning in opened.warnings:
        complain(f"airsift: {warning}")
    if opened.warnings:
        raise typer.Exit(1)


def with_broker(kafka: str | None, sets: list[str] | None) -> list[str]:
    """Return the ``--set`` options, with ``--kafka`` as one of them."""
    named = [] if kafka is None else [f"kafka.bootstrap_servers={to_json(kafka)}"]
    return [*(sets or []), *named]
