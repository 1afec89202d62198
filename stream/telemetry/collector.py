"""Counters that airsift's parts keep themselves, read when Prometheus scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream.alarms.rules import KINDS as ALARMS
from stream.levels.faults import FAULTS as LEVEL_FAULTS
from stream.load import Load
from stream.sources.base import SourceStatus
from stream.stages.clock import LOUD_PPM
from stream.stages.work_budget import KINDS
from stream.telemetry.channel_faults import FAULTS

if TYPE_CHECKING:
    from stream.events import Level
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink
    from stream.telemetry.activity import Activity
    from stream.telemetry.health import Health
    from stream.telemetry.settings import TelemetrySettings

# Key of `Pipeline.counts` to name and help text.
PIPELINE = {
    "chunks": ("airsift_chunks", "Chunks received."),
    "dropped": ("airsift_chunks_dropped", "Chunks processed before, dropped."),
    "late": ("airsift_chunks_late", "Chunks received too late, dropped."),
    "reordered": ("airsift_chunks_reordered", "Late chunks that were put in order."),
    "trimmed": ("airsift_chunks_trimmed", "Chunks processed in part before, trimmed."),
    "gaps": ("airsift_gaps", "Gaps in the audio."),
}
# Key of a source's `counts` to name and help text.
SOURCE = {
    "messages": ("airsift_kafka_messages", "Messages read from the audio topic."),
    "bytes": ("airsift_kafka_bytes", "Bytes of audio read from the audio topic."),
    "dead_letters": ("airsift_dead_letters", "Messages that could not be decoded."),
    "jumps": ("airsift_kafka_jumps", "Jumps of a station's count or clock that were followed."),
    "unreadable": ("airsift_unreadable", "Batches and records that could not be read."),
    "repeats": ("airsift_kafka_repeats", "Messages read again after a rebalance, and left out."),
    "ends": ("airsift_streams_ended", "Ends of streams: sent, or by kafka.idle_s."),
    "damaged_records": (
        "airsift_state_records_damaged",
        "Records of the state topic that could not be used; their stations began anew.",
    ),
    "rebalances": ("airsift_kafka_rebalances", "New assignments of partitions."),
    "moved": ("airsift_kafka_stations_moved", "Stations that came from another partition."),
    "commits": ("airsift_kafka_commits", "Commits of offsets."),
    "commit_failures": ("airsift_kafka_commit_failures", "Commits that the group refused."),
}
# Key of what is left out while the loop is behind to name and help text.
SKIPPED = {
    "warp_searches": (
        "airsift_warp_searches_skipped",
        "Searches for changed speed and pitch that were left out, because the loop was behind.",
    ),
    "identify_s": (
        "airsift_identify_skipped_seconds",
        "Seconds of audio that were not identified, because the loop was behind.",
    ),
}
# Name of a gauge of each station to its help text and the field of its last level.
LEVELS = {
    "airsift_station_level_dbfs": ("Level over all channels.", "level_dbfs"),
    "airsift_station_true_peak_dbtp": ("True peak.", "true_peak_dbtp"),
    "airsift_station_momentary_lufs": ("Greatest loudness of 0.4 s.", "momentary_lufs"),
    "airsift_station_short_term_lufs": ("Loudness of the last 3 s.", "short_term_lufs"),
    "airsift_station_integrated_lufs": ("Loudness so far, by EBU R128.", "integrated_lufs"),
    "airsift_station_correlation": ("Correlation of left and right.", "correlation"),
}
# Attribute of other kinds of sources to name and help text.
ATTRIBUTES = {
    "overflows": ("airsift_overflows", "Times a microphone's audio was lost."),
    "reconnects": ("airsift_reconnects", "Times a web stream was connected anew."),
    "throttled_s": ("airsift_kafka_throttled_seconds", "Time that quotas held a client back."),
}


class _NoSource(SourceStatus):
    """Stands for the source until there is one."""


class Collector:
    """A Prometheus collector of the source, the pipeline and the sinks.

    The loop's thread samples the values that only it may read (`sample`); `collect` runs in
    another thread and reads numbers only.

    Parameters
    ----------
    health : Health
        Health of the loop.
    activity : Activity
        Live and silent stations.
    settings : TelemetrySettings
        Which stations have time series of their own.
    """

    def __init__(self, health: Health, activity: Activity, settings: TelemetrySettings) -> None:
        self._health = health
        self._activity = activity
        self._max_stations = settings.station_series
        self._max_silent = settings.silent_series
        self._expected = settings.expected
        self._pipeline: Pipeline | None = None
        self._source: SourceStatus = _NoSource()
        self._sinks: Sequence[Sink] = ()
        self._lag = 0
        self._drifting = 0
        self._drifts: list[tuple[str, float]] = []
        self._levels: list[tuple[Level, list[str]]] = []
        self._faulty = dict.fromkeys(LEVEL_FAULTS, 0)
        self._alarms: Counter[str] = Counter()
        self._queued = {"source": 0, "sink": 0}

    def bind(self, source: SourceStatus, pipeline: Pipeline | None, sinks: Sequence[Sink]) -> None:
        """Read these parts from now on."""
        self._source, self._pipeline, self._sinks = source, pipeline, sinks

    def sample(self) -> None:
        """Sample queues, lag and drifts; for the loop's thread."""
        self._lag = self._source.lag
        self._queued["source"] = self._source.queued
        self._queued["sink"] = sum(sink.queued for sink in self._sinks)
        if self._pipeline is not None:
            drifts = self._pipeline.clock.drifts_ppm()
            self._drifting = sum(abs(ppm) >= LOUD_PPM for _, ppm in drifts)
            self._drifts = drifts[: self._max_stations]
            if self._pipeline.levels is not None:
                levels = self._pipeline.levels.latest()
                found = Counter(name for _, faults in levels for name in faults)
                self._faulty = {name: found[name] for name in LEVEL_FAULTS}
                self._levels = levels[: self._max_stations]
            if self._pipeline.alarms is not None:
                self._alarms = self._pipeline.alarms.counts()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        yield from _counters(PIPELINE, self._pipeline.counts if self._pipeline else {})
        yield from _counters(SOURCE, self._source.counts)
        load = self._pipeline.load if self._pipeline else Load()
        yield from _counters(SKIPPED, load.skipped)
        yield _queries_skipped(self._pipeline.queries_skipped if self._pipeline else {})
        yield _gauge("airsift_behind_seconds", "Seconds behind the newest audio.", load.behind_s)
        yield _gauge(
            "airsift_load_level",
            "What is left out because the loop is behind: 0 is nothing, 3 the most.",
            load.level,
        )
        yield _faults()
        yield self._refused()
        yield from _counters(ATTRIBUTES, {k: getattr(self._source, k) for k in ATTRIBUTES})
        yield _gauge("airsift_stations_live", "Live stations.", self._activity.live)
        yield _gauge("airsift_stations_silent", "Silent stations.", self._activity.silent)
        yield from self._named()
        yield _gauge(
            "airsift_stations_failing",
            "Stations of --stations whose source cannot be opened, or has failed.",
            self._source.failing,
        )
        yield _gauge(
            "airsift_stations_drifting",
            f"Stations that drift by {LOUD_PPM:g} parts per million or more.",
            self._drifting,
        )
        faulty = GaugeMetricFamily(
            "airsift_stations_faulty",
            "Stations whose last level shows a fault, by kind; with levels.enabled.",
            labels=["fault"],
        )
        for fault, count in self._faulty.items():
            faulty.add_metric([fault], count)
        yield faulty
        yield from self._of_alarms()
        yield _gauge("airsift_lag_messages", "Messages that wait in our partitions.", self._lag)
        yield _gauge(
            "airsift_kafka_partitions",
            "Partitions of the audio topic, as last seen.",
            self._source.topic_partitions,
        )
        yield _gauge("airsift_ready", "Whether /readyz says yes.", self._health.ready)
        yield _gauge(
            "airsift_progress_age_seconds",
            "Seconds since the loop came round.",
            self._health.age_s,
        )
        queued = GaugeMetricFamily(
            "airsift_queue_depth",
            "Chunks that wait before the pipeline, events that wait behind it.",
            labels=["queue"],
        )
        for name, depth in self._queued.items():
            queued.add_metric([name], depth)
        yield queued
        if self._max_stations:
            ages = GaugeMetricFamily(
                "airsift_station_age_seconds",
                "Seconds since a station's last chunk came.",
                labels=["station"],
            )
            for station, age_s in self._activity.ages_s(self._max_stations):
                ages.add_metric([station], age_s)
            yield ages
            drifts = GaugeMetricFamily(
                "airsift_station_drift_ppm",
                "How much faster a station's samples run than its clock, in parts per million.",
                labels=["station"],
            )
            for station, ppm in self._drifts:
                drifts.add_metric([station], ppm)
            yield drifts
            yield from self._of_levels()

    def _of_alarms(self) -> Iterator[Metric]:
        """Yield the alarms that are open, and what became of messages about them."""
        alarms = self._alarms  # another thread replaces it
        opened = GaugeMetricFamily(
            "airsift_alarms_open", "Alarms that are open, by rule.", labels=["rule"]
        )
        for rule in ALARMS:
            opened.add_metric([rule], alarms[rule])
        yield opened
        sent = CounterMetricFamily(
            "airsift_alarm_messages",
            "Messages to targets of alarms, by kind of target and by what became of them.",
            labels=["target", "outcome"],
        )
        waiting = GaugeMetricFamily(
            "airsift_alarm_queue", "Messages about alarms that wait.", labels=["target"]
        )
        for sink in self._sinks:
            for (target, outcome), count in sorted(sink.deliveries.items()):
                sent.add_metric([target, outcome], count)
            for target, depth in sorted(sink.waiting.items()):
                waiting.add_metric([target], depth)
        yield sent
        yield waiting

    def _of_levels(self) -> Iterator[GaugeMetricFamily]:
        """Yield what the last level of each station says."""
        levels = self._levels  # another thread replaces it
        for name, (help_text, attribute) in LEVELS.items():
            family = GaugeMetricFamily(name, help_text, labels=["station"])
            for level, _ in levels:
                if (value := getattr(level, attribute)) is not None:
                    family.add_metric([level.station], value)
            yield family
        faults = GaugeMetricFamily(
            "airsift_station_fault",
            "Whether a station's last level shows a fault, by kind.",
            labels=["station", "fault"],
        )
        for level, found in levels:
            for fault in LEVEL_FAULTS:
                faults.add_metric([level.station, fault], float(fault in found))
        yield faults

    def _named(self) -> Iterator[GaugeMetricFamily]:
        """Yield what names silent and expected stations, for alerts."""
        silent = GaugeMetricFamily(
            "airsift_station_silent_seconds",
            "Seconds since the last chunk of a silent station; of watch.silent_series at most.",
            labels=["station"],
        )
        for station, age_s in self._activity.silent_s(self._max_silent):
            silent.add_metric([station], age_s)
        expected = GaugeMetricFamily(
            "airsift_station_expected", "Stations of watch.expected.", labels=["station"]
        )
        live = GaugeMetricFamily(
            "airsift_station_live",
            "Whether an expected station is live; only where it has been received.",
            labels=["station"],
        )
        for station in self._expected:
            expected.add_metric([station], 1)
        for station, is_live in self._activity.are_live(self._expected).items():
            live.add_metric([station], is_live)
        yield from (silent, expected, live)

    def _refused(self) -> CounterMetricFamily:
        """Return how many of our messages the broker has refused, by topic."""
        # Source and sinks may share one counter.
        edges: list[SourceStatus | Sink] = [self._source, *self._sinks]
        counts = {id(edge.refused): edge.refused for edge in edges}
        total: Counter[str] = Counter()
        for each in counts.values():
            total.update({**each})
        family = CounterMetricFamily(
            "airsift_refused", "Messages that the broker has refused, by topic.", labels=["topic"]
        )
        for topic, count in sorted(total.items()):
            family.add_metric([topic], count)
        return family


def _counters(
    known: Mapping[str, tuple[str, str]], counts: Mapping[str, float]
) -> Iterator[CounterMetricFamily]:
    for key, (name, help_text) in known.items():
        yield CounterMetricFamily(name, help_text, counts.get(key, 0))


def _queries_skipped(skipped: Mapping[str, int]) -> CounterMetricFamily:
    """Return the queries that a station's budget did not allow, by kind."""
    family = CounterMetricFamily(
        "airsift_queries_skipped",
        "Queries that were left out because their station had spent identify.max_work, by kind.",
        labels=["query"],
    )
    for kind in KINDS:
        family.add_metric([kind], skipped.get(kind, 0))
    return family


def _faults() -> CounterMetricFamily:
    """Return the number of faults of channels, by kind."""
    family = CounterMetricFamily(
        "airsift_channel_faults",
        "Times that the channels of a stream were found to cancel, or one to be silent, by kind.",
        labels=["fault"],
    )
    for fault, count in sorted(FAULTS.copy().items()):
        family.add_metric([fault], count)
    return family


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, float(value))
