"""The loop that everything long-running is: hear, judge, publish, checkpoint."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airsift.errors import Backpressure
from stream.sources.base import Batch
from stream.telemetry.observer import NullObserver, Observer

if TYPE_CHECKING:
    from stream.events import Event
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink
    from stream.sources.base import Source


class Stop:
    """Whether somebody has asked to stop.

    Attributes
    ----------
    requested : bool
        Whether to end in order, as soon as possible.
    settled : bool
        Whether everything is flushed and committed, so that an end by force repeats nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.settled = False

    def request(self, *_: object) -> None:
        """Ask to stop; fits `signal.signal`."""
        self.requested = True


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Give a `Stop` that SIGINT and SIGTERM request, while the block runs.

    A second signal finds Python's own handler again and ends the process at once.
    """
    stop = Stop()

    def handle(*_: object) -> None:
        stop.request()
        for either in signals:
            signal.signal(either, before[either])

    signals = (int(signal.SIGINT), int(signal.SIGTERM))
    before = {number: signal.signal(number, handle) for number in signals}
    # `exit_on_signals` reads them in a thread of its own, too.
    wakeup = signal.set_wakeup_fd(-1)
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        for number in signals:
            signal.signal(number, before[number])


def drive(
    source: Source,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    *,
    checkpoint_s: float,
    stop: Stop,
    progress: Callable[[Mapping[str, float]], None] | None = None,
    observer: Observer = NullObserver(),  # noqa: B008  # it has no state
) -> None:
    """Run `source` through `pipeline` into `sinks` until it ends or `stop` is requested.

    Nothing is settled before every sink has flushed what it was given: a crash repeats events
    (with the same ids) and loses none.

    Parameters
    ----------
    source, pipeline, sinks
        The parts; the caller closes them.
    checkpoint_s : float > 0
        Seconds between checkpoints.
    stop : Stop
        Looked at after every batch.
    progress : callable, optional
        Told how far each station has been heard, in seconds, after every batch with audio.
    observer : Observer
        Told of every turn of the loop, and of waits for a full sink.
    """
    touched: set[str] = set()
    next_checkpoint = time.monotonic() + checkpoint_s
    for batch in source:
        for station in batch.lost:
            pipeline.forget(station)
        touched -= batch.lost
        for station, snapshot in batch.resumed.items():
            pipeline.restore(station, snapshot)
        events = pipeline.push(batch.chunks)
        _write(sinks, events, stop, observer)
        observer.on_batch(batch, events)
        heard = {chunk.station: chunk.end / chunk.rate for chunk in batch.chunks}
        touched |= heard.keys()
        if progress is not None and heard:
            progress(heard)
        if time.monotonic() >= next_checkpoint:
            _checkpoint(source, pipeline, sinks, touched)
            next_checkpoint = time.monotonic() + checkpoint_s
        if stop.requested:
            break
    if not (source.resumable and stop.requested):
        events = pipeline.push([], last=True)
        _write(sinks, events, stop, observer)
        observer.on_batch(Batch(), events)
    _checkpoint(source, pipeline, sinks, touched)


def _checkpoint(
    source: Source, pipeline: Pipeline, sinks: Sequence[Sink], touched: set[str]
) -> None:
    for sink in sinks:
        sink.flush()
    snapshots: dict[str, dict[str, Any]] = {s: pipeline.snapshot(s) for s in sorted(touched)}
    source.settle(snapshots)
    touched.clear()


def _write(sinks: Sequence[Sink], events: Sequence[Event], stop: Stop, observer: Observer) -> None:
    if not events:
        return
    for sink in sinks:
        while True:
            try:
                sink.write(events)
                break
            except Backpressure as full:
                if stop.requested:
                    raise
                observer.on_backpressure()
                time.sleep(full.retry_after_s)
