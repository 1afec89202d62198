"""Counters and histograms of events in the loop, for Prometheus.

`stream.telemetry.collector` reads the counters that other parts keep themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from airsift import __version__
from stream.events import (
    Alarm,
    Decision,
    Gap,
    Label,
    Labelled,
    Level,
    Match,
    Repeat,
    Segment,
    Share,
)
from stream.sources.base import audio_of

if TYPE_CHECKING:
    from stream.events import Event
    from stream.sources.base import SourceItem

STAGES = (
    "align", "clock", "levels", "mono", "resample", "columns", "classify", "voice", "smooth",
    "labels", "identify", "repeats", "alarms",
)  # fmt: skip
EDGES = ("publish", "flush", "settle")  # write and flush of sinks, checkpoint of the source
KINDS = tuple(
    event.kind for event in (Decision, Segment, Labelled, Match, Share, Repeat, Level, Gap, Alarm)
)

# Seconds. One station's second of audio takes about a millisecond in all stages together.
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
# Seconds. 0.15 and 0.7 are the aims for the median and the 99th percentile of a decision.
LATENCY_BUCKETS = (0.05, 0.1, 0.15, 0.25, 0.5, 0.7, 1, 2, 5, 10, 30, 60, 300, 3600)


class Metrics:
    """Counters and histograms of one worker, in a registry of their own.

    None has a label for the station, so their number does not grow with the stations.

    Parameters
    ----------
    wall : callable
        Unix time in seconds, compared to the times of events.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        # They would be a second, unused series for each of ours.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._wall = wall
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("airsift", "Version that runs.", registry=registry).info({"version": __version__})
        self._audio = Counter(
            "airsift_audio_seconds", "Seconds of audio in the chunks that came.", registry=registry
        )
        self._turns = Counter("airsift_turns", "Turns of the loop.", registry=registry)
        self._waits = Counter(
            "airsift_backpressure_waits",
            "Waits for a sink that is full.",
            registry=registry,
        )
        events = Counter(
            "airsift_events", "Events published, repetitions included.", ["kind"], registry=registry
        )
        segments = Counter(
            "airsift_segments", "Segments closed, by label.", ["label"], registry=registry
        )
        self._matches = Counter(
            "airsift_matches", "Playings of tracks that have ended.", registry=registry
        )
        latency = Histogram(
            "airsift_latency_seconds",
            "From the end of what an event is about, by its station's clock, to its publication.",
            ["kind"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "airsift_stage_seconds",
            "Time in one call of a stage, for a batch of any number of stations.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        # All series exist from the start: a rate needs a zero before the first increment.
        self._events = {kind: events.labels(kind) for kind in KINDS}
        self._segments = {label: segments.labels(label) for label in get_args(Label)}
        self._latency = {kind: latency.labels(kind) for kind in KINDS}
        self._stages = {stage: self._stage_seconds.labels(stage) for stage in (*STAGES, *EDGES)}

    def on_batch(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        """Count an iteration of the loop."""
        self._turns.inc()
        self._audio.inc(sum(len(chunk.samples) / chunk.rate for chunk in audio_of(items)))
        now = self._wall()
        for event in events:
            self._events[event.kind].inc()
            if isinstance(event, Segment) and event.final:
                self._segments[event.label].inc()
            elif isinstance(event, Match) and event.final:
                self._matches.inc()
            if event.time is not None:
                ended = event.time + (event.end - event.start) / event.rate
                # Clocks may differ, but the sum of a histogram must not decrease.
                self._latency[event.kind].observe(max(now - ended, 0.0))

    def on_call(self, part: str, seconds: float) -> None:
        """Count the seconds of one call of a stage, or at an edge."""
        if part not in self._stages:  # a stage of somebody's own
            self._stages[part] = self._stage_seconds.labels(part)
        self._stages[part].observe(seconds)

    def on_backpressure(self) -> None:
        """Count a wait for a full sink."""
        self._waits.inc()
