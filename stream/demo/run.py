"""The demo: two stations on a broker, heard, shown and scored.

::

    programme ─> publish ─┐                               ┌─> decisions, segments, matches, gaps
                          ├─> audio topic ─> run ─────────┘        │
    programme ─> publish ─┘   (broker)       (pipeline)            └─> subscriber ─> console

All of it is what `airsift publish`, `run` and `tail` are made of; only the programmes and the
end are the demo's own.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from airsift.build import build_pipeline
from airsift.errors import BrokerError
from stream.demo.catalogue import build_catalogue
from stream.demo.programme import Programme, assemble, programmes
from stream.demo.sources import ProgrammeSource, UntilHeard
from stream.demo.subscriber import Subscriber
from stream.demo.summary import stretches_of, summary
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.publish import publish
from stream.kafka.client.sink import KafkaSink
from stream.kafka.client.source import KafkaSource
from stream.kafka.embedded_broker import EmbeddedBroker
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop, run_source
from stream.sinks.console import ConsoleSink
from stream.sinks.terminal import DEFAULT_SIZE, is_terminal, size_of

if TYPE_CHECKING:
    from airsift.config import Config
    from stream.events import Event
    from stream.pipeline import Pipeline


def run(config: Config, speed: float, stop: Stop, out: TextIO) -> None:
    """Run the demo from its first line to its summary.

    Parameters
    ----------
    config : Config
        As configured, but for the broker and the catalogue: those are the demo's own.
    speed : float > 0
        Times real time at which the stations send.
    stop : Stop
        Ends it early, and without a summary.
    out : text file object
        Where to print.

    Raises
    ------
    AirsiftError
        Anything broke, or a station was not heard at all.
    """

    def say(line: str = "") -> None:
        print(line, file=out, flush=True)

    with tempfile.TemporaryDirectory(prefix="airsift-demo-") as folder, EmbeddedBroker() as broker:
        say(f"A Kafka broker of our own at {broker.bootstrap_servers}, for as long as this runs.")
        tracks = build_catalogue(Path(folder))
        say(f"A catalogue of {len(tracks)} tracks:")
        for track in tracks:
            say(f"  {track.artist} - {track.title}")
        on_air = [assemble(name) for name in programmes()]
        say(f"Two stations, at {speed:g} times real time:")
        for programme in on_air:
            length_s = programme.length_ms / 1000
            say(f"  {programme.name:<6} {programme.title}, {length_s:.0f} s, as {programme.codec}")
        own = _with(config, broker.bootstrap_servers, folder)
        pipeline = build_pipeline(own)
        if stop.requested:
            return
        say("What a subscriber to segments and matches sees:")
        say()
        events = broadcast(on_air, own, pipeline, speed, stop, ConsoleSink(out))
        if stop.requested:
            return
        say()
        columns = size_of(out)[0] if is_terminal(out) else DEFAULT_SIZE[0]
        for line in summary(on_air, events, columns):
            say(line)
    for programme in on_air:
        if not stretches_of(events, programme.name):
            raise BrokerError(f"nothing was heard of {programme.name}: the demo is broken")


def broadcast(
    on_air: list[Programme],
    config: Config,
    pipeline: Pipeline,
    speed: float,
    stop: Stop,
    console: ConsoleSink,
) -> list[Event]:
    """Send, hear and show the programmes; return the events as a subscriber last saw them."""
    ensure_topics(config.kafka, config.kafka.topics.events.values())
    subscriber = Subscriber(config.kafka, console)
    heard = Stop()

    def hear() -> None:
        with closing(KafkaSource(config.kafka, rate=pipeline.rate)) as kafka:
            source = UntilHeard(kafka, {p.name: p.length_ms for p in on_air})
            with closing(KafkaSink(config.kafka)) as sink:
                run_source(
                    source, pipeline, [sink], checkpoint_s=config.run.checkpoint_s, stop=stop
                )

    def send(programme: Programme) -> None:
        source = ProgrammeSource(programme)
        publish(source, config.kafka, stop=stop, codec=programme.codec, speed=speed)

    def watch(job: Future[None]) -> None:
        """Let one that fails end them all."""
        if job.exception() is not None:
            stop.request()
            heard.request()

    with closing(console), ThreadPoolExecutor(len(on_air) + 1) as threads:
        jobs = [threads.submit(hear), *(threads.submit(send, p) for p in on_air)]
        jobs[0].add_done_callback(heard.request)
        for job in jobs:
            job.add_done_callback(watch)
        try:
            subscriber.read(heard)
        except BaseException:
            stop.request()
            raise
        for job in jobs:
            job.result()
        if not stop.requested:
            subscriber.read(Stop(), until_end=True)
    return list(subscriber.events.values())


def _with(config: Config, servers: str, catalogue: str) -> Config:
    # How to reach the user's broker says nothing of how to reach this one.
    kafka = KafkaSettings(bootstrap_servers=servers)
    identify = config.identify.model_copy(update={"catalogue": catalogue})
    return config.model_copy(update={"kafka": kafka, "identify": identify})
