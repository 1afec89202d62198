"""From a configuration to what a pipeline is connected to: sources, sinks, traces."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.networks import model_rate, parts_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airsift.config import Config
    from stream.alarms.rules import AlarmPlan
    from stream.alarms.sink import AlarmSink
    from stream.clips.recorder import ClipRecorder
    from stream.kafka.client.transactions import Transactions
    from stream.kafka.settings import KafkaSettings
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink
    from stream.sources.base import SelectiveSource, Source
    from stream.sources.settings import FileSettings, HttpSettings, MicrophoneSettings
    from stream.stations.entry import StationEntry
    from stream.stations.source import StationsSource
    from stream.telemetry.tracing import Tracing

log = logging.getLogger(__name__)


def log_parts(source: str, sinks: list[str], config: Config) -> None:
    """Log what a service is about to load, read and publish."""
    log.info("loads: %s", parts_in_words(config))
    topics = config.kafka.topics
    if source == "kafka":
        log.info(
            "reads: topic %s of %s, as a member of group %s; snapshots in topic %s",
            topics.audio,
            config.kafka.bootstrap_servers,
            config.kafka.group,
            topics.state,
        )
    if "kafka" in sinks:
        log.info("publishes: topics %s", ", ".join(topics.events.values()))


def open_source(
    name: str,
    station: str | None,
    config: Config,
    transactions: Transactions | None = None,
    *,
    track: str | None = None,
    levels: bool = False,
) -> Source:
    """Open the source that ``--source`` names.

    With `levels`, and if levels are configured, files and web radios leave it to the pipeline to
    mix their channels, and web radios are asked for titles.

    Raises
    ------
    AirsiftError
        It cannot be opened.
    """
    if track is not None and name in ("kafka", "microphone"):
        raise ConfigError(f"--track {track}: {name} has no tracks; leave it out")
    for_levels = levels and config.levels.enabled
    if name == "kafka":
        from stream.kafka.client.source import KafkaSource

        return KafkaSource(config.kafka, rate=model_rate(config), transactions=transactions)
    if name == "microphone":
        return _microphone(station or "microphone", config.microphone)
    if "://" in name:
        from stream.sources.web_address import public_name

        return _web(name, station or public_name(name), config.http, track, for_levels=for_levels)
    return _file(name, station, config.file, track, for_levels=for_levels)


def open_stations(path: Path, config: Config) -> StationsSource:
    """Open all stations of a list as one source.

    Raises
    ------
    ConfigError
        The list cannot be read, or no station of it can be used.
    """
    from stream.stations.source import KafkaStations, StationsSource

    def open_one(entry: StationEntry) -> Source:
        name, source, track = entry.name, entry.source, entry.track or None
        for_levels = config.levels.enabled
        if entry.kind == "web":
            http = entry.http_settings(config.http)
            return _web(source, name, http, track, for_levels=for_levels)
        if entry.kind == "microphone":
            return _microphone(name, entry.microphone_settings(config.microphone))
        return _file(source, name, config.file, track, for_levels=for_levels)

    def open_kafka(entry: StationEntry, stations: Mapping[str, str]) -> SelectiveSource:
        from stream.kafka.client.source import KafkaSource

        kafka = kafka_of(entry, config)
        return KafkaSource(kafka, rate=model_rate(config), stations=stations)

    kafka = KafkaStations(config.kafka, open_kafka, config.run.checkpoint_s)
    return StationsSource(path, open_one, config.http, kafka, config.alarms.rules)


def kafka_of(entry: StationEntry, config: Config) -> KafkaSettings:
    """Return the section ``[kafka]`` for a station of a list.

    The group is the list's alone: members with other keys would commit what it has not read.
    """
    kafka = entry.kafka_settings(config.kafka)
    return kafka.model_copy(update={"group": f"{kafka.group}.stations.{kafka.topics.audio}"})


def _web(
    url: str, station: str, settings: HttpSettings, track: str | None, *, for_levels: bool
) -> Source:
    from stream.sources.http import HttpSource

    return HttpSource(
        url, station, settings, track=track, keep_channels=for_levels, titles=for_levels
    )


def _microphone(station: str, settings: MicrophoneSettings) -> Source:
    from stream.sources.microphone import MicrophoneSource

    return MicrophoneSource(station, settings)


def _file(
    path: str, station: str | None, settings: FileSettings, track: str | None, *, for_levels: bool
) -> Source:
    from stream.sources.file import FileSource

    return FileSource(Path(path), station, settings, track=track, keep_channels=for_levels)


def check_sinks(names: list[str]) -> None:
    """Refuse an unknown name of a sink, before anything is opened."""
    for name in names:
        if name not in ("console", "kafka", "database") and not name.startswith("jsonl:"):
            raise ConfigError(f"--sink {name}: must be console, jsonl:FILE, database or kafka")
        if name == "database":
            check_history()


def check_history() -> None:
    """Refuse to go on without the libraries of the history."""
    missing = [name for name in ("sqlalchemy", "alembic", "psycopg") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the history needs {', '.join(missing)}: install airsift[history], as with "
            "pip install 'airsift[history]'"
        )


def event_kinds(config: Config, *, own_catalogues: bool = False) -> list[str]:
    """Return the kinds of events that are published with a configuration.

    With `own_catalogues`, stations may name theirs.

    Kafka needs a topic, and a right to write, for these alone. Matches always have theirs:
    subscribers read it whether there is a catalogue or not.
    """
    kinds = ["decision", "segment", "match", "gap"]
    if config.model.labels_path:
        kinds.append("label")
    if config.identify.catalogue or own_catalogues:
        kinds.append("share")
    if config.repeats.folder:
        kinds.append("repeat")
    if config.levels.enabled:
        kinds.append("level")
    if config.alarms.enabled:
        kinds.append("alarm")
    return kinds


def open_sink(
    name: str,
    config: Config,
    transactions: Transactions | None = None,
    tracing: Tracing | None = None,
    *,
    own_catalogues: bool = False,
) -> Sink:
    """Open the sink that one ``--sink`` names, for what `event_kinds` says."""
    if name == "kafka":
        from stream.kafka.client.sink import KafkaSink
        from stream.kafka.codec.event_message import no_trace

        trace_of = tracing.trace_of if tracing else no_trace
        kinds = event_kinds(config, own_catalogues=own_catalogues)
        return KafkaSink(config.kafka, transactions, kinds, trace_of=trace_of)
    if name == "console":
        from stream.sinks.console import ConsoleSink

        return ConsoleSink(sys.stdout)
    if name == "database":
        from stream.sinks.database import DatabaseSink

        return DatabaseSink(config.database)
    from stream.sinks.jsonl import JsonlSink

    target = name.removeprefix("jsonl:")
    return JsonlSink(sys.stdout if target == "-" else Path(target))


def open_alarm_sinks(config: Config, pipeline: Pipeline) -> list[AlarmSink]:
    """Return the sink that notifies the targets of alarms, if there is one.

    Raises
    ------
    ConfigError
        A secret cannot be read.
    """
    if not config.alarms.enabled:
        return []
    from stream.alarms.sink import AlarmSink, targets_of

    targets = targets_of(config.alarms)
    return [AlarmSink(targets, config.alarms, pipeline.open_alarms)] if targets else []


def open_clips(
    config: Config, pipeline: Pipeline, stations: StationsSource | None = None
) -> list[ClipRecorder]:
    """Return what keeps the sound around alarms, and of songs, where folders are configured.

    Of no station is any kept whose entry in a list forbids it: `stations`, or ``alarms.stations``,
    also where there are no alarms.
    """
    from stream.alarms.clips import AlarmClips
    from stream.clips.recorder import ClipRecorder
    from stream.clips.songs import SongClips

    alarms, path = pipeline.alarms, config.alarms.stations
    listed: Callable[[], AlarmPlan] | None = None
    if alarms is None and stations is None and path:
        from stream.alarms.plans import PlanOfFile

        listed = PlanOfFile(config.alarms, pipeline.rate, Path(path), config.http, config.kafka)

    def may_keep(station: str) -> bool:
        if alarms is not None:
            return alarms.may_keep(station)
        if listed is not None:
            return listed().of(station).may_keep
        entry = stations.entries.get(station) if stations is not None else None
        return entry is None or entry.clips

    opened = []
    if alarms is not None and config.alarms.clips.folder:
        opened.append(ClipRecorder(AlarmClips(), config.alarms.clips, pipeline.rate, may_keep))
    if config.identify.clips.folder:
        opened.append(ClipRecorder(SongClips(), config.identify.clips, pipeline.rate, may_keep))
    return opened


def open_transactions(source: str | None, sinks: list[str], config: Config) -> Transactions | None:
    """Return the transactions that source and sink share if `kafka.exactly_once` is set.

    Raises
    ------
    AirsiftError
        Source and sink are not both Kafka, or the broker has no reliable transactions.
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


@contextmanager
def open_tracing(config: Config, topic: str = "") -> Iterator[Tracing | None]:
    """Give the traces of a service, if they are configured.

    Parameters
    ----------
    config : Config
        The sections ``[tracing]`` and ``[kafka]``.
    topic : str
        The topic of the audio, "" where it comes from elsewhere.

    Raises
    ------
    ConfigError
        Their libraries are not installed.
    """
    if not config.tracing.enabled:
        yield None
        return
    if find_spec("opentelemetry") is None:
        raise ConfigError(
            "tracing.enabled=true needs opentelemetry: install airsift[tracing], as with "
            "pip install 'airsift[tracing]'"
        )
    from stream.telemetry.tracing import Tracing

    tracing = Tracing(config.tracing, topic, config.kafka.group if topic else "")
    try:
        yield tracing
    finally:
        tracing.close()
