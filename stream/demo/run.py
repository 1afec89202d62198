"""The demo: two stations on a broker, processed, shown and scored.

::

    programme ─> publish ─┐                               ┌─> decisions, segments, matches, gaps
                          ├─> audio topic ─> run ─────────┘        │
    programme ─> publish ─┘   (broker)       (pipeline)            └─> subscriber ─> console

Its parts are those of `airsift publish`, `run` and `tail`, except the programmes and the end. Ten
minutes later one station sends an unknown song again, so it is found as a repeat; it is named as by
`airsift catalogue name`, and sent once more.
"""

from __future__ import annotations

import math
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from airsift.build import build_pipeline
from airsift.errors import BrokerError
from stream.demo.catalogue import build_catalogue
from stream.demo.programme import Programme, assemble, programmes
from stream.demo.sources import SHORT_MS, EndingSource, ProgrammeSource
from stream.demo.subscriber import Subscriber
from stream.demo.summary import repeat_in, stretches_of, summary
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.publish import publish
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.embedded_broker import EmbeddedBroker
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop, run_source
from stream.sinks.console import ConsoleSink
from stream.sinks.terminal import DEFAULT_SIZE, is_terminal, size_of
from stream.telemetry.observer import NullObserver, Observer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from airsift.config import Config
    from stream.events import Event
    from stream.pipeline import Pipeline
    from stream.sinks.base import Sink

_REPEAT_S = 10.0  # from the last segment of what came again to its repeat; else nothing is named


def run(
    config: Config,
    speed: float,
    stop: Stop,
    out: TextIO,
    sinks: Sequence[Sink] = (),
    observer: Observer = NullObserver(),  # noqa: B008  # it has no state
) -> None:
    """Run the demo from its first line to its summary.

    Parameters
    ----------
    config : Config
        The configuration; broker and catalogue are replaced by the demo's own.
    speed : float > 0
        Speed of the stations; 1 is real time.
    stop : Stop
        Ends the demo early, without a summary.
    out : text file object
        The output.
    sinks : sequence of Sink
        Further destinations of the events.
    observer : Observer
        Looks at the pipeline.

    Raises
    ------
    AirsiftError
        A part failed, or a station has no segments.
    """

    def say(line: str = "") -> None:
        print(line, file=out, flush=True)

    with tempfile.TemporaryDirectory(prefix="airsift-demo-") as folder, EmbeddedBroker() as broker:
        say(f"A Kafka broker of our own at {broker.bootstrap_servers}, for as long as this runs.")
        catalogue, repeats = Path(folder) / "catalogue", Path(folder) / "repeats"
        tracks = build_catalogue(catalogue)
        say(f"A catalogue of {len(tracks)} tracks:")
        for track in tracks:
            say(f"  {track.artist} - {track.title}")
        on_air = [assemble(name) for name in programmes()]
        say(f"Two stations, at {speed:g} times real time:")
        for programme in on_air:
            length_s = programme.length_ms / 1000
            say(f"  {programme.name:<6} {programme.title}, {length_s:.0f} s, as {programme.codec}")
        own = _with(config, broker.bootstrap_servers, catalogue, repeats)
        pipeline = build_pipeline(own, ready=True, with_levels=True)
        if stop.requested:
            return
        say("What a subscriber to segments and matches sees:")
        say()
        events = broadcast(on_air, own, pipeline, speed, stop, ConsoleSink(out), sinks, observer)
        if stop.requested:
            return
        say()
        columns = size_of(out)[0] if is_terminal(out) else DEFAULT_SIZE[0]
        for line in summary(on_air, events, columns):
            say(line)
    for programme in on_air:
        if not stretches_of(events, programme.name):
            raise BrokerError(f"{programme.name} has no segments: the demo is broken")


def broadcast(
    on_air: list[Programme],
    config: Config,
    pipeline: Pipeline,
    speed: float,
    stop: Stop,
    console: ConsoleSink,
    sinks: Sequence[Sink] = (),
    observer: Observer = NullObserver(),  # noqa: B008  # it has no state
) -> list[Event]:
    """Send, process and show the programmes; return the last state of each event."""
    ensure_topics(config.kafka, config.kafka.topics.events.values())
    subscriber = Subscriber(config.kafka, console)
    processed = Stop()

    def process() -> None:
        with closing(KafkaSource(config.kafka, rate=pipeline.rate)) as kafka:
            source = EndingSource(kafka, {p.name: p.sent_ms for p in on_air})
            with closing(KafkaSink(config.kafka)) as sink:
                all_sinks = [sink, *sinks]
                run_source(
                    source,
                    pipeline,
                    all_sinks,
                    checkpoint_s=config.run.checkpoint_s,
                    stop=stop,
                    observer=observer,
                )

    def send(programme: Programme) -> None:
        def put(samples: NDArray[np.float32], after_ms: int = 0) -> None:
            source = ProgrammeSource(programme.name, samples, after_ms)
            publish(source, config.kafka, stop=stop, codec=programme.codec, speed=speed)

        put(programme.samples)
        if programme.again is None:
            return
        put(programme.again.samples, programme.again.after_ms)
        name_repeat(programme, config, subscriber, stop)
        put(programme.again.samples, programme.again.after_ms)

    def end_all_on_failure(job: Future[None]) -> None:
        if job.exception() is not None:
            stop.request()
            processed.request()

    with closing(console), ThreadPoolExecutor(len(on_air) + 1) as threads:
        jobs = [threads.submit(process), *(threads.submit(send, p) for p in on_air)]
        jobs[0].add_done_callback(processed.request)
        for job in jobs:
            job.add_done_callback(end_all_on_failure)
        try:
            subscriber.read(processed)
        except BaseException:
            stop.request()
            raise
        for job in jobs:
            job.result()
        if not stop.requested:
            subscriber.read(Stop(), until_end=True)
    return list(subscriber.events.values())


def name_repeat(programme: Programme, config: Config, subscriber: Subscriber, stop: Stop) -> None:
    """Wait for the repeat of what came again; add it to the catalogue as its part is called."""
    from fingerprint.catalogue import Catalogue
    from fingerprint.repeats.naming import add_to, find_cluster

    assert programme.again is not None
    part_end = programme.sent_ms - programme.again.length_ms // 2
    until = math.inf
    while (found := repeat_in(list(subscriber.events.values()), programme)) is None:
        # A machine that is too busy is late with it. Its segment comes from the same audio.
        segments = stretches_of(list(subscriber.events.values()), programme.name)
        if until == math.inf and any(each.end >= part_end - SHORT_MS for each in segments):
            until = time.monotonic() + _REPEAT_S
        if stop.requested or time.monotonic() > until:
            return
        time.sleep(0.1)
    part = programme.again.part
    with closing(Catalogue.create(Path(config.identify.catalogue))) as catalogue:
        stored = find_cluster(Path(config.repeats.folder), found.cluster)
        add_to(catalogue, stored, part.title, part.artist, "song")


def _with(config: Config, servers: str, catalogue: Path, repeats: Path) -> Config:
    # The user's Kafka settings do not fit this broker.
    kafka = KafkaSettings.default(bootstrap_servers=servers)
    identify = config.identify.model_copy(update={"catalogue": str(catalogue)})
    found = config.repeats.model_copy(update={"folder": str(repeats)})
    return config.model_copy(update={"kafka": kafka, "identify": identify, "repeats": found})
