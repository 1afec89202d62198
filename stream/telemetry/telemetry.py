"""One object that watches a worker, from before it is built until it ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from stream.telemetry.activity import Stations
from stream.telemetry.collector import Readings
from stream.telemetry.health import Health
from stream.telemetry.logs import logging_to
from stream.telemetry.metrics import Metrics
from stream.telemetry.server import serving

if TYPE_CHECKING:
    from stream.events import Event
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink
    from stream.sources.base import Batch, Source
    from stream.telemetry.repeats import RepeatsHandler
    from stream.telemetry.settings import TelemetrySettings

log = logging.getLogger(__name__)

SAMPLE_S = 1.0  # between two looks at what is not told: queues, lag, silence


class Watch:
    """The observer of a worker.

    Parameters
    ----------
    config : TelemetrySettings
        What counts as silent, as stalled.
    now, wall : callable
        A clock that only goes forward, and Unix time, in seconds.
    """

    def __init__(
        self,
        config: TelemetrySettings,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._next_sample = now()
        self._trouble = ""
        self.health = Health(config.stall_s, now=now)
        self.stations = Stations(config.silent_s, config.forget_s, now)
        self.metrics = Metrics(wall)
        self.readings = Readings(self.health, self.stations, config.station_series)
        self.metrics.registry.register(self.readings)

    def attach(self, source: Source, pipeline: Pipeline, sinks: Sequence[Sink]) -> None:
        """Watch these: they are built and connected, and the loop is about to begin."""
        self.metrics.measure(source, pipeline, sinks)
        self.readings.attach(source, pipeline, sinks)
        edges = [source, *sinks]
        self.health.ask(
            lambda: "; ".join(filter(None, (getattr(edge, "broker_error", "") for edge in edges))),
            lambda: getattr(source, "waits_for", ()),
        )
        self.health.done("source", "model")

    def turn(self, batch: Batch, events: Sequence[Event]) -> None:
        """Take note of a turn of the loop."""
        self.health.turn()
        self.metrics.turn(batch, events)
        self.stations.turn(batch)
        if self._now() >= self._next_sample:
            self._next_sample = self._now() + SAMPLE_S
            self.stations.sweep()
            self.readings.sample()

    def full(self) -> None:
        """Take note that the loop is about to wait for a full sink."""
        self.metrics.full()
        self.readings.sample()

    def look(self) -> None:
        """Log once that there is trouble at the edges, and once that the worker is ready again."""
        trouble = self.health.trouble
        if trouble and not self._trouble:
            log.warning("not ready: %s", trouble)
            self._trouble = trouble
        elif self._trouble and self.health.ready:
            log.info("ready again")
            self._trouble = ""


@contextmanager
def watching(config: TelemetrySettings) -> Iterator[Watch]:
    """Give a `Watch`; while the block runs, write logs and, where asked to, serve metrics.

    Trouble is looked for in a thread, because the loop may wait for the broker that is away.
    """
    with ExitStack() as stack:
        lines = stack.enter_context(logging_to(style=config.log, level=config.level))
        watch = Watch(config)
        if config.port:
            stack.enter_context(
                serving(config.address, config.port, watch.metrics.registry, watch.health)
            )
        stopped = threading.Event()
        threading.Thread(
            target=_look, args=[watch, lines, stopped], name="watch", daemon=True
        ).start()
        stack.callback(stopped.set)
        yield watch


def _look(watch: Watch, lines: RepeatsHandler, stopped: threading.Event) -> None:
    while not stopped.wait(SAMPLE_S):
        watch.look()
        lines.sum_up()
