"""``airsift run``: the long-running consumer, one process."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, TrackOption, complain, load_config
from airsift.errors import Backpressure, BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airsift.config import Config
    from stream.kafka.client.transactions import Transactions
    from stream.runner import Stop
    from stream.sinks.base import Sink
    from stream.sources.base import Source


def run(
    source: Annotated[str, typer.Option(help="kafka, microphone, a file or a URL.")],
    sink: Annotated[
        list[str] | None,
        typer.Option(help="console, jsonl:FILE (- for standard output) or kafka; repeatable."),
    ] = None,
    station: Annotated[
        str | None, typer.Option(help="Name of the station; default: from the source.")
    ] = None,
    track: TrackOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Listen until the source ends, or until SIGINT or SIGTERM."""
    settings = load_config(config, sets)
    if source == "kafka" and station is not None:
        raise ConfigError(
            f"--station {station} with --source kafka: the messages' keys name the stations; "
            "leave it out"
        )
    names = sink or ["console"]
    check_sinks(names)

    from airsift.build import build_pipeline
    from airsift.shutdown import ending_within
    from stream.runner import drive, stop_on_signals
    from stream.telemetry.telemetry import watching

    # Until the loop begins a signal ends the process at once: nothing is to be lost before.
    with watching(settings.watch) as watch, ExitStack() as opening:
        transactions = open_transactions(source, names, settings)
        if transactions is not None:
            opening.callback(transactions.close)
        opened = open_source(source, station, settings, transactions, track=track)
        opening.callback(opened.close)
        pipeline = build_pipeline(settings, reorder=source == "kafka")
        sinks = [open_sink(name, settings, transactions) for name in names]
        for each in sinks:
            opening.callback(each.close)
        watch.attach(opened, pipeline, sinks)
        every_s = settings.run.checkpoint_s
        with stop_on_signals() as stop, ExitStack() as stack:
            stack.enter_context(forgiving(stop, resumable=opened.resumable))
            if source == "kafka" or "kafka" in names:
                stack.enter_context(ending_within(stop, resumable=opened.resumable))
            stack.push(opening.pop_all())
            drive(opened, pipeline, sinks, checkpoint_s=every_s, stop=stop, observer=watch)
            stop.settled = True
    for warning in getattr(opened, "warnings", ()):
        complain(f"airsift: {warning}")
    if getattr(opened, "warnings", ()):
        raise typer.Exit(1)


@contextmanager
def forgiving(stop: Stop, *, resumable: bool) -> Iterator[None]:
    """Let a broker that fails while the process ends, as it was asked to, be no failure.

    Nothing is lost where the source is `resumable`; the error is printed all the same.
    """
    try:
        yield
    except (BrokerError, Backpressure) as error:
        if not (stop.requested and resumable):
            raise
        complain(
            f"airsift: {error}; asked to end: what was processed since the last checkpoint is "
            "processed again"
        )


def open_transactions(source: str, sinks: list[str], config: Config) -> Transactions | None:
    """Return what source and sink share where `kafka.exactly_once` is set.

    Raises
    ------
    AirsiftError
        They are not both Kafka, or the broker has no transactions that hold.
    """
    if not config.kafka.exactly_once:
        return None
    if source != "kafka" or sinks != ["kafka"]:
        raise ConfigError(
            "kafka.exactly_once=true is from Kafka to Kafka: run with --source kafka and --sink "
            "kafka alone, or set kafka.exactly_once=false"
        )
    from stream.kafka.client.transactions import Transactions

    return Transactions(config.kafka)


def open_source(
    name: str,
    station: str | None,
    config: Config,
    transactions: Transactions | None = None,
    *,
    track: str | None = None,
) -> Source:
    """Open what ``--source`` names.

    Raises
    ------
    AirsiftError
        It is not there, or not what it should be.
    """
    if track is not None and name in ("kafka", "microphone"):
        raise ConfigError(f"--track {track}: {name} has no tracks; leave it out")
    if name == "kafka":
        from airsift.build import model_rate
        from stream.kafka.client.source import KafkaSource

        return KafkaSource(config.kafka, rate=model_rate(config), transactions=transactions)
    if name == "microphone":
        from stream.sources.microphone import MicrophoneSource

        mic = config.microphone
        return MicrophoneSource(
            mic.device or None,
            station=station or "microphone",
            block_ms=mic.block_ms,
            queue_blocks=max(round(mic.queue_s * 1000 / mic.block_ms), 1),
            absent_s=mic.absent_s,
        )
    if "://" in name:
        from airsift.cli.web import web_settings
        from stream.sources.http import HttpSource
        from stream.sources.web_address import public_name

        web = web_settings(config.http)
        return HttpSource(name, station or public_name(name), web, track=track)
    from stream.sources.file import FileSource

    return FileSource(
        Path(name),
        station=station,
        chunk_s=config.file.chunk_s,
        track=track,
        max_spool=config.file.max_spool_bytes,
    )


def check_sinks(names: list[str]) -> None:
    """Refuse a name that `open_sink` would not know, before anything is opened."""
    for name in names:
        if name not in ("console", "kafka") and not name.startswith("jsonl:"):
            raise ConfigError(f"--sink {name}: must be console, kafka or jsonl:FILE")


def open_sink(name: str, config: Config, transactions: Transactions | None = None) -> Sink:
    """Open what one ``--sink`` names."""
    if name == "kafka":
        from stream.kafka.client.sink import KafkaSink

        return KafkaSink(config.kafka, transactions)
    if name == "console":
        from stream.sinks.console import ConsoleSink

        return ConsoleSink(sys.stdout)
    from stream.sinks.jsonl import JsonlSink

    target = name.removeprefix("jsonl:")
    return JsonlSink(sys.stdout if target == "-" else Path(target))
