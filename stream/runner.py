"""The loop of everything that runs: receive, process, publish, checkpoint."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from airsift.errors import Backpressure
from airsift.malloc import give_back_free_pages
from stream.audio import AudioChunk, end_of
from stream.sources.base import Resumed, audio_of
from stream.telemetry.observer import NullObserver, Observer

if TYPE_CHECKING:
    from stream.events import Event
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink
    from stream.snapshot import StoredSnapshot
    from stream.sources.base import Source, SourceItem


class Stop:
    """Whether to stop.

    Attributes
    ----------
    requested : bool
        Whether to end in order, as soon as possible.
    is_safe : bool
        Whether everything is flushed and committed, so that an end by force repeats nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.is_safe = False

    def request(self, *_: object) -> None:
        """Request the stop; fits `signal.signal`."""
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


class Runner:
    """Takes what a source yields through the pipeline to the sinks.

    Both drivers use it: `run_source` here, and `stream.kafka.faust.worker`, which takes the five
    steps with its own client. They differ only in how they poll, send and commit.

    **The commit rule.** A checkpoint has five steps. Each begins when the one before has succeeded:

    1. Flush: every event written so far is acknowledged.
    2. Snapshot: the pipeline returns that of each station with audio since the last checkpoint,
       if the source resumes it.
    3. Store: the source stores the snapshots, and waits until they are acknowledged.
    4. Release: audio before the oldest sample of its station's snapshot is no longer needed.
    5. Commit: the source commits the position of the first audio that is still needed.

    A crash between two steps repeats events with the same ids, and loses none: what is committed
    is stored, and what is stored is published.

    Parameters
    ----------
    pipeline, sinks
        The parts; the caller closes them.
    stop : Stop
        Ends the wait for a full sink.
    observer : Observer
        Is called after every step, and while the loop waits for a full sink.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sinks: Sequence[Sink],
        stop: Stop,
        observer: Observer = NullObserver(),  # noqa: B008  # it has no state
    ) -> None:
        self._pipeline = pipeline
        self._sinks = sinks
        self._stop = stop
        self._observer = observer
        self._changed: set[str] = set()
        pipeline.observer = observer

    def step(self, items: Sequence[SourceItem], behind_s: float = 0.0) -> None:
        """Process items in their order, and write the events they complete.

        `behind_s` is how far the source says that they are behind its newest audio, in seconds.
        """
        self._observer.on_step(items)
        self._pipeline.load.update(behind_s)
        chunks: list[AudioChunk] = []
        events: list[Event] = []
        for item in items:
            if isinstance(item, AudioChunk):
                chunks.append(item)
                self._changed.add(item.station)
                continue
            events += self._pipeline.push(chunks) if chunks else []
            chunks = []
            if isinstance(item, Resumed):
                self._pipeline.restore(item.station, item.snapshot)
            else:
                if item.is_silent:  # its open alarms close: nobody watches it
                    events += self._pipeline.end_alarms([item.station])
                self._pipeline.forget(item.station)
                self._changed.discard(item.station)
        events += self._pipeline.push(chunks)
        # An alarm may open without audio.
        self._changed.update(e.station for e in events if e.station in self._pipeline.sessions)
        self._publish(items, events)

    def end(self, keep: Callable[[str], bool] = lambda station: False) -> None:
        """End all streams but those to `keep`, and write the events that this completes."""
        if kept := set(filter(keep, self._pipeline.sessions)):
            others = sorted(self._pipeline.sessions.keys() - kept)
            ends = [end_of(station, self._pipeline.rate) for station in others]
            events = self._pipeline.push(ends)
            self._publish((), events + self._pipeline.end_alarms(others))
        else:
            self._publish((), self._pipeline.push([], last=True))

    def checkpoint(self, source: Source) -> None:
        """Take all five steps of the commit rule."""
        for sink in self._sinks:
            while not self._tried(sink.flush, "flush"):
                pass
        snapshots = self.snapshots(source.resumes)
        with self.timed("settle"):
            source.checkpoint(snapshots)
        give_back_free_pages()

    def snapshots(
        self, wanted: Callable[[str], bool] = lambda station: True
    ) -> dict[str, StoredSnapshot]:
        """Return the snapshots of wanted stations that have changed since this was last called."""
        stations = sorted(filter(wanted, self._changed))
        snapshots = {station: self._pipeline.snapshot(station) for station in stations}
        self._changed.clear()
        return snapshots

    def _publish(self, items: Sequence[SourceItem], events: list[Event]) -> None:
        for sink in self._sinks if events else ():
            while not self._tried(partial(sink.write, events), "publish"):
                pass
        self._observer.on_batch(items, events)

    def _tried(self, call: Callable[[], None], part: str) -> bool:
        """Call a sink; False, after a while, where it is full."""
        try:
            with self.timed(part):
                call()
        except Backpressure as full:
            if self._stop.requested:
                raise
            self._observer.on_backpressure()
            time.sleep(full.retry_after_s)
            return False
        return True

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Report the seconds of the block to the observer, as those of a part of the loop."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._observer.on_call(part, time.perf_counter() - began)


def run_source(
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

    Parameters
    ----------
    source, pipeline, sinks
        The parts; the caller closes them.
    checkpoint_s : float > 0
        Seconds between checkpoints.
    stop : Stop
        Looked at after every step.
    progress : callable, optional
        Is given how far each station's audio has been processed, in seconds, after every step.
    observer : Observer
        See `Runner`.
    """
    for _ in run_in_steps(
        source,
        pipeline,
        sinks,
        checkpoint_s=checkpoint_s,
        stop=stop,
        progress=progress,
        observer=observer,
    ):
        pass


def run_in_steps(
    source: Source,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    *,
    checkpoint_s: float,
    stop: Stop,
    progress: Callable[[Mapping[str, float]], None] | None = None,
    observer: Observer = NullObserver(),  # noqa: B008  # it has no state
) -> Iterator[None]:
    """Do what `run_source` does, and yield after every step and at the end.

    For callers that take the events of each step at their own pace.
    """
    runner = Runner(pipeline, sinks, stop, observer)
    next_checkpoint = time.monotonic() + checkpoint_s
    for items in source:
        runner.step(items, source.behind_s)
        if progress is not None and (chunks := audio_of(items)):
            progress({chunk.station: chunk.end / chunk.rate for chunk in chunks})
        if time.monotonic() >= next_checkpoint or source.wants_checkpoint:
            runner.checkpoint(source)
            next_checkpoint = time.monotonic() + checkpoint_s * pipeline.load.checkpoint_factor
        yield
        if stop.requested:
            break
    if not stop.requested:
        runner.end()
    elif not source.resumable:
        runner.end(source.resumes)
    runner.checkpoint(source)
    yield
