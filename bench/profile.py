"""Where the CPU of a station-second goes: each stage of each driver, from real runs.

Functions at the borders of the stages are wrapped, and the CPU time of the thread that runs them is
read before and after (nothing is sampled): a function that calls another stage does not count its
time. ``rest`` is the process's CPU less all of them: other threads, the loop, the interpreter.

The audio is the demo's speech and music. ``file`` is MP3 in stereo to JSON lines, ``live`` stereo
PCM that comes through a pipe in chunks of 0.1 s, ``kafka`` and ``faust`` are many stations of PCM
at 16 kHz in messages of 1 s that wait on the embedded broker. The demo's tracks are the catalogue.

::

    python -m bench.profile --json after.json
    python -m bench.profile --before before.json       # of the same script in an older checkout
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import wraps
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
import soxr

from airsift import config
from airsift.build import build_pipeline
from airsift.connect import open_sink, open_source
from bench.report import Report, arguments
from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from stream.audio import AudioChunk
from stream.demo.clips import RATE, decode, parts
from stream.kafka.client.connect import connect_producer, ensure_topics
from stream.kafka.codec.message import encode
from stream.kafka.embedded_broker import EmbeddedBroker
from stream.runner import Stop, run_source
from stream.sinks.base import Sink
from stream.sinks.jsonl import JsonlSink
from stream.sources.file import FileSource, read_file
from stream.sources.settings import FileSettings
from stream.telemetry.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRIVERS = ("file", "live", "kafka", "faust")
PCM_RATE = 44_100
# A stage, and the functions in which it begins. What a checkout does not have is left out.
STAGES = (
    ("fetch", "kafka:KafkaConsumer.poll"),
    ("decode", "stream.decoding.reader:AudioReader.__iter__"),
    ("decode", "stream.kafka.checkpoint.partition_reader:PartitionReader.read"),
    ("downmix", "stream.decoding.downmix:Downmix.push"),
    ("downmix", "stream.decoding.downmix:Downmix.flush"),
    ("align, clock", "stream.stages.align:Align.push"),
    ("align, clock", "stream.stages.clock:Clock.push"),
    ("downmix", "stream.stages.mono:ToMono.push"),
    ("resample", "stream.stages.resample:Resample.push"),
    ("CQT", "stream.stages.features:ComputeColumns.push"),
    ("network", "stream.stages.classify:Classify.push"),
    ("network", "stream.stages.voice:Voice.push"),
    ("smoothing", "stream.stages.smooth:Smooth.push"),
    ("fingerprint", "stream.stages.identify:Identify.push"),
    ("snapshot", "stream.pipeline:Pipeline.snapshot"),
    ("serialising", "stream.events:Event.to_dict"),
    ("serialising", "stream.events:Event.to_json"),
    ("serialising", "stream.kafka.codec.event_message:EventFormat.encode"),
    ("produce", "stream.sinks.jsonl:JsonlSink.write"),
    ("produce", "stream.kafka.client.sink:KafkaSink.write"),
    ("produce", "stream.kafka.client.sink:KafkaSink.flush"),
    ("produce", "stream.kafka.faust.producer:FaustProducer.put"),
    ("commit", "stream.kafka.client.source:KafkaSource.checkpoint"),
    ("commit", "stream.kafka.checkpoint.partition_reader:PartitionReader.checkpoint"),
)
ORDER = list(dict.fromkeys(stage for stage, _ in STAGES))


class Meter:
    """CPU time of stages, of all threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._threads: list[Counter[str]] = []

    def clear(self) -> None:
        """Begin anew."""
        for each in self._threads:
            each.clear()

    def seconds(self) -> Counter[str]:
        """Return the seconds of each stage."""
        total: Counter[str] = Counter()
        for each in self._threads:
            total.update(each)
        return Counter({stage: ns / 1e9 for stage, ns in total.items()})

    def wrap(self, stage: str, target: str) -> None:
        """Measure a function: ``module:Class.name`` or ``module:name``."""
        module, _, path = target.partition(":")
        *owners, name = path.split(".")
        try:
            owner: object = importlib.import_module(module)
            for each in owners:
                owner = getattr(owner, each)
            function = getattr(owner, name)
        except (ImportError, AttributeError):
            return
        setattr(owner, name, self._measured(stage, function))

    def _measured(self, stage: str, function: Callable[..., object]) -> Callable[..., object]:
        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def generate(*args: object, **kwargs: object) -> Iterator[object]:
                values = iter(function(*args, **kwargs))
                while True:
                    self._enter(stage)
                    try:
                        value = next(values)
                    except StopIteration:
                        return
                    finally:
                        self._leave()
                    yield value

            return generate

        @wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            self._enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        return call

    def _enter(self, stage: str) -> None:
        local = self._local
        if not hasattr(local, "stack"):
            local.stack, local.spent = [], Counter()
            self._threads.append(local.spent)
        now = time.thread_time_ns()
        if local.stack:
            local.spent[local.stack[-1]] += now - local.mark
        local.stack.append(stage)
        local.mark = now

    def _leave(self) -> None:
        local = self._local
        now = time.thread_time_ns()
        local.spent[local.stack.pop()] += now - local.mark
        local.mark = now


class Enough(Observer):
    """Stops the run when so many seconds of audio were processed."""

    def __init__(self, stop: Stop, seconds: float) -> None:
        self._stop = stop
        self._left = seconds

    def on_batch(self, items, events) -> None:
        """Count the audio."""
        for item in items:
            if isinstance(item, AudioChunk):
                self._left -= len(item.samples) / item.rate
        if self._left <= 0:
            self._stop.request()


class Job(NamedTuple):
    """What a process measures."""

    driver: str
    folder: str
    seconds: int
    stations: int


def programme(seconds: int) -> np.ndarray:
    """Return speech and music of the demo in turns, at its rate, shape [n, 2]."""
    clips = [decode(part) for part in parts().values() if part.kind in ("speech", "music")]
    mono = np.resize(np.concatenate(clips), seconds * RATE).astype(np.float32)
    return np.stack([mono, 0.8 * mono + 0.2 * np.roll(mono, RATE // 50)], axis=1)


def write(path: Path, codec: str, samples: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        if codec != "pcm_s16le":
            stream.bit_rate = 192_000
        values = (np.clip(samples, -1, 1) * 32_767).astype("<i2")
        for start in range(0, len(values), rate):
            frame = av.AudioFrame.from_ndarray(
                values[start : start + rate].reshape(1, -1), format="s16", layout="stereo"
            )
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def prepare(folder: Path, seconds: int) -> None:
    """Write the audio and the catalogue."""
    samples = soxr.resample(programme(seconds), RATE, PCM_RATE)
    write(folder / "a.mp3", "libmp3lame", samples, PCM_RATE)
    write(folder / "a.wav", "pcm_s16le", samples, PCM_RATE)
    catalogue = Catalogue.create(folder / "catalogue")
    for name, part in parts().items():
        if part.kind == "music":
            samples = soxr.resample(decode(part), RATE, 16_000).astype(np.float32)
            catalogue.add(samples, Track(name, title=name))


def measure(job: Job) -> dict[str, float]:
    """Return the microseconds of CPU that each stage takes for a second of a station."""
    meter = Meter()
    for stage, target in STAGES:
        meter.wrap(stage, target)
    folder, stop = Path(job.folder), Stop()
    sets = [f"identify.catalogue={json.dumps(str(folder / 'catalogue'))}"]
    if job.driver in ("file", "live"):
        settings = config.load(sets=sets, environ={}).config
        pipeline = build_pipeline(settings)
        source, chunk_s = folder / "a.mp3", settings.file.chunk_s
        if job.driver == "live":
            source, chunk_s = _piped(folder / "a.wav"), 0.1
        sink: Sink = JsonlSink(folder / "out.jsonl")
        for warm in (True, False):
            with_settings = FileSettings.default(chunk_s=chunk_s)
            path = folder / "a.mp3" if warm else source
            opened = FileSource(path, "a", with_settings)
            meter.clear()
            began = time.process_time()
            run_source(opened, pipeline, [sink], checkpoint_s=1.0, stop=stop)
            spent = time.process_time() - began
            opened.close()
        return _row(meter, spent, job.seconds)
    audio_s = job.seconds * job.stations
    with EmbeddedBroker() as broker:
        sets.append(f"kafka.bootstrap_servers={json.dumps(broker.bootstrap_servers)}")
        settings = config.load(sets=sets, environ={}).config
        publish(settings, folder / "a.wav", job)
        pipeline = build_pipeline(settings, reorder=True)
        observer = Enough(stop, 0.95 * audio_s)
        if job.driver == "kafka":
            opened_sink = open_sink("kafka", settings)
            opened = open_source("kafka", None, settings)
            meter.clear()
            began = time.process_time()
            run_source(
                opened, pipeline, [opened_sink], checkpoint_s=1.0, stop=stop, observer=observer
            )
            spent = time.process_time() - began
            opened.close()
            opened_sink.close()
        else:
            from stream.kafka.faust.worker import Worker

            worker = Worker(settings.kafka, pipeline, checkpoint_s=1.0, observer=observer)
            meter.clear()
            began = time.process_time()
            worker.run(stop)
            spent = time.process_time() - began
    return _row(meter, spent, audio_s)


def _row(meter: Meter, spent: float, audio_s: float) -> dict[str, float]:
    seconds = meter.seconds()
    seconds["rest"] = spent - seconds.total()
    seconds["all"] = spent
    return {stage: 1e6 * value / audio_s for stage, value in seconds.items()}


def _piped(path: Path) -> Path:
    """Return a path that gives a file's bytes as a pipe does."""
    read, write_end = os.pipe()

    def feed() -> None:
        with os.fdopen(write_end, "wb") as out:
            out.write(path.read_bytes())

    threading.Thread(target=feed, daemon=True).start()
    return Path(f"/dev/fd/{read}")


def publish(settings: config.Config, path: Path, job: Job) -> None:
    """Publish the stations: each begins at another second of the programme."""
    topics = settings.kafka.topics
    ensure_topics(settings.kafka, [topics.audio, topics.dead_letters, topics.state])
    samples, now = read_file(path), time.time() - job.seconds
    values = [
        encode(AudioChunk("a", 0, samples[16_000 * k : 16_000 * (k + 1)], 16_000, 0.0))
        for k in range(job.seconds)
    ]
    producer = connect_producer(settings.kafka)
    for k in range(job.seconds):
        for station in range(job.stations):
            message = values[(k + 7 * station) % job.seconds]
            headers = dict(message.headers) | {
                "start_sample": b"%d" % (16_000 * k),
                "time_ms": b"%d" % round((now + k) * 1000),
            }
            key = b"station %d" % station
            producer.send(topics.audio, message.value, key, list(headers.items()))
    producer.flush()
    producer.close()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--driver", nargs="+", choices=DRIVERS, default=DRIVERS)
    parser.add_argument("--seconds", type=int, default=120, help="of audio")
    parser.add_argument("--stations", type=int, default=20, help="of kafka and faust")
    parser.add_argument("--before", type=Path, help="JSON of an older checkout, for comparison")
    options = parser.parse_args()
    before: dict[str, dict[str, float]] = {}
    if options.before:
        before = {row["name"]: row for row in json.loads(options.before.read_text())["rows"]}
    report = Report("Microseconds of CPU for a second of a station")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.seconds)
        for driver in options.driver:
            job = Job(driver, folder, options.seconds, options.stations)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                found = alone.submit(measure, job).result()
            for stage in [*ORDER, "rest", "all"]:
                name = f"{driver}: {stage}"
                old = before.get(name, {}).get("after_us")
                if found.get(stage) or old:
                    columns = {} if old is None else {"before_us": old}
                    report.row(name, **columns, after_us=found.get(stage, 0.0))
    report.finish(options.json)


if __name__ == "__main__":
    main()
