"""Telemetry of a worker, from before it is built until it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from stream.telemetry.activity import Activity
from stream.telemetry.collector import Collector
from stream.telemetry.health import Health
from stream.telemetry.logs import logging_to
from stream.telemetry.metrics import Metrics
from stream.telemetry.observer import Observer
from stream.telemetry.server import serving

if TYPE_CHECKING:
    from stream.events import Event
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink
    from stream.sources.base import SourceItem, SourceStatus
    from stream.telemetry.repeats import RepeatsHandler
    from stream.telemetry.settings import TelemetrySettings

log = logging.getLogger(__name__)

SAMPLE_S = 1.0  # between two polls of queues, lag and silent stations


class Telemetry(Observer):
    """The observer of a worker: its health, metrics, and the activity of its stations.

    Parameters
    ----------
    config : TelemetrySettings
        Timeouts of silent stations and of a stalled loop.
    now, wall : callable
        A monotonic clock and Unix time, in seconds.
    """

    def __init__(
        self,
        config: TelemetrySettings,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._next_sample = now()
        self._problem = ""
        self.health = Health(config.stall_s, now=now)
        self.activity = Activity(config.silent_s, config.forget_s, now)
        self.metrics = Metrics(wall)
        self.collector = Collector(self.health, self.activity, config)
        self.metrics.registry.register(self.collector)

    def bind(self, source: SourceStatus, pipeline: Pipeline | None, sinks: Sequence[Sink]) -> None:
        """Observe these parts, which are built and connected, from now on.

        What only passes events on has no pipeline.
        """
        self.collector.bind(source, pipeline, sinks)
        edges: list[SourceStatus | Sink] = [source, *sinks]
        self.health.bind(
            lambda: "; ".join(filter(None, (edge.broker_error for edge in edges))),
            lambda: source.waits_for,
        )
        self.health.done("source", "model")

    def on_batch(self, items: Sequence[SourceItem], events: Sequence[Event]) -> None:
        """Record an iteration of the loop."""
        self.health.progress()
        self.metrics.on_batch(items, events)
        self.activity.on_batch(items)
        if self._now() >= self._next_sample:
            self._next_sample = self._now() + SAMPLE_S
            self.activity.sweep()
            self.collector.sample()

    def on_backpressure(self) -> None:
        """Record that the loop is about to wait for a full sink."""
        self.metrics.on_backpressure()
        self.collector.sample()

    def on_call(self, part: str, seconds: float) -> None:
        """Record the seconds of one call of a stage, or at an edge."""
        self.metrics.on_call(part, seconds)

    def poll(self) -> None:
        """Log a problem at the edges once, and once that the worker is ready again."""
        problem = self.health.problem
        if problem and not self._problem:
            log.warning("not ready: %s", problem)
            self._problem = problem
        elif self._problem and self.health.ready:
            log.info("ready again")
            self._problem = ""


@contextmanager
def open_telemetry(config: TelemetrySettings) -> Iterator[Telemetry]:
    """Give a `Telemetry`; while the block runs, write logs and serve metrics as configured.

    Problems are polled in a thread, because the loop may wait for a broker that is away.
    """
    with ExitStack() as stack:
        repeats = stack.enter_context(logging_to(style=config.log, level=config.level))
        telemetry = Telemetry(config)
        if config.port:
            registry, health = telemetry.metrics.registry, telemetry.health
            stack.enter_context(serving(config.address, config.port, registry, health))
        stopped = threading.Event()
        threading.Thread(
            target=_poll, args=[telemetry, repeats, stopped], name="telemetry", daemon=True
        ).start()
        stack.callback(stopped.set)
        yield telemetry


def _poll(telemetry: Telemetry, repeats: RepeatsHandler, stopped: threading.Event) -> None:
    while not stopped.wait(SAMPLE_S):
        repeats.sum_up()
        telemetry.poll()
