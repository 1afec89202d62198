"""``airsift run``: the long-running consumer, one process."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, TrackOption, complain, inform, load_config
from airsift.errors import Backpressure, BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.runner import Stop
    from stream.sinks.base import Sink
    from stream.sources.base import Source
    from stream.stations.source import StationsSource
    from stream.telemetry.observer import Observer

log = logging.getLogger(__name__)


def run(
    source: Annotated[str | None, typer.Option(help="kafka, microphone, a file or a URL.")] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            help="console, jsonl:FILE (- for standard output), database or kafka; repeatable."
        ),
    ] = None,
    station: Annotated[
        str | None, typer.Option(help="Name of the station; default: from the source.")
    ] = None,
    stations: Annotated[
        Path | None,
        typer.Option(help="Instead of --source: a TOML file of stations, all in this process."),
    ] = None,
    track: TrackOption = None,
    web: Annotated[
        bool, typer.Option("--web", help="Show it in a browser, at web.address and web.port.")
    ] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Process a source until it ends, or until SIGINT or SIGTERM.

    With --stations, SIGHUP or a change of the file adds, changes and removes stations.
    """
    settings = load_config(config, sets)
    _check(source, stations, station, track)
    names = sink or ["console"]
    is_service = source is None or source in ("kafka", "microphone") or "://" in source
    began = time.monotonic()

    from airsift.build import build_pipeline
    from airsift.connect import (
        check_sinks,
        log_parts,
        open_alarm_sinks,
        open_clips,
        open_sink,
        open_source,
        open_stations,
        open_tracing,
        open_transactions,
    )
    from airsift.malloc import (
        give_back_large_blocks,
        keep_all_objects,
        search_rarely_for_garbage,
    )
    from airsift.shutdown import shutdown_deadline
    from stream.runner import run_source, stop_on_signals
    from stream.telemetry.observer import Observers
    from stream.telemetry.telemetry import open_telemetry

    check_sinks(names)
    # Before the loop a signal ends the process at once: nothing can be lost yet.
    with open_telemetry(settings.watch) as telemetry, ExitStack() as opening:
        if is_service:
            give_back_large_blocks()
        topic = settings.kafka.topics.audio if source == "kafka" else ""
        tracing = opening.enter_context(open_tracing(settings, topic))
        transactions = open_transactions(source, names, settings)
        if transactions is not None:
            opening.callback(transactions.close)
        opened: Source
        listed: StationsSource | None = None
        if source is not None:
            opened = open_source(source, station, settings, transactions, track=track, levels=True)
        else:
            assert stations is not None
            opened = listed = open_stations(stations, settings)
            opening.enter_context(reload_on_signal(listed))
        opening.callback(opened.close)
        if is_service:
            log_parts(source or f"the stations of {stations}", names, settings)
        pipeline = build_pipeline(
            settings,
            reorder=source in ("kafka", None),
            with_levels=True,
            with_alarms=True,
            ready=True,
            stations=listed,
        )
        pipeline.align.may_be_late = opened.resumes  # of a list, only those of Kafka
        if pipeline.alarms is not None:
            pipeline.alarms.source = opened
        # Targets of alarms are notified also while another sink is full.
        sinks: list[Sink] = [*open_alarm_sinks(settings, pipeline)]
        own_catalogues = listed is not None
        sinks += [
            open_sink(name, settings, transactions, tracing, own_catalogues=own_catalogues)
            for name in names
        ]
        for each in sinks:
            opening.callback(each.close)
        page: Observer | None = None
        if web:
            from airsift.web.groups import groups_of
            from airsift.web.running import page_of_process

            groups = None if listed is None else groups_of(listed)
            page = served = opening.enter_context(page_of_process(settings, names, groups))
            inform(f"airsift: the page is at {served.url}")
            served.source = opened
            sinks.append(served.sink)
        telemetry.bind(opened, pipeline, sinks)
        clips = open_clips(settings, pipeline, listed)
        for each_clips in clips:
            opening.callback(each_clips.close)
        watchers = [*filter(None, (telemetry, tracing, page)), *clips]
        observer: Observer = Observers(*watchers) if len(watchers) > 1 else telemetry
        keep_all_objects()
        if source == "kafka":
            search_rarely_for_garbage()
        if is_service:
            log.info("ready after %.1f s", time.monotonic() - began)
        every_s = settings.run.checkpoint_s
        with stop_on_signals() as stop, ExitStack() as stack:
            stack.enter_context(forgiving(stop, resumable=opened.resumable))
            if source == "kafka" or "kafka" in names:
                stack.enter_context(shutdown_deadline(stop, resumable=opened.resumable))
            stack.push(opening.pop_all())
            run_source(opened, pipeline, sinks, checkpoint_s=every_s, stop=stop, observer=observer)
            stop.is_safe = True
    for warning in opened.warnings:
        complain(f"airsift: {warning}")
    if opened.warnings:
        raise typer.Exit(1)


def _check(
    source: str | None, stations: Path | None, station: str | None, track: str | None
) -> None:
    """Refuse options that contradict each other.

    Raises
    ------
    ConfigError
        They do.
    """
    if (source is None) == (stations is None):
        have = "neither is given" if source is None else "both are given"
        raise ConfigError(f"--source and --stations: {have}; name one of them")
    if stations is not None and (station is not None or track is not None):
        raise ConfigError(
            "--station and --track are for one --source: set name and track in the file of "
            "--stations"
        )
    if source == "kafka" and station is not None:
        raise ConfigError(
            f"--station {station} with --source kafka: the messages' keys name the stations; "
            "leave it out"
        )


@contextmanager
def reload_on_signal(listed: StationsSource) -> Iterator[None]:
    """Read the list of stations again at SIGHUP, where the system has it."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: listed.reload())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def forgiving(stop: Stop, *, resumable: bool) -> Iterator[None]:
    """Print an error of the broker during an orderly end, without failing.

    Nothing is lost if the source is `resumable`.
    """
    try:
        yield
    except (BrokerError, Backpressure) as error:
        if not (stop.requested and resumable):
            raise
        complain(
            f"airsift: {error}; ends as requested: what was processed since the last checkpoint is "
            "processed again"
        )
