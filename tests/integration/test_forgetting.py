"""Stations that never return leave nothing in the state topic; those that do begin anew."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from stream.audio import AudioChunk
from stream.kafka.client.connect import ensure_topics
from stream.kafka.client.producer import Producer
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.tail import follow
from stream.kafka.codec.message import encode
from stream.runner import Stop
from stream.sources.base import Lost, audio_of
from tests.stream.doubles import snapshot

RATE = 16000

# A worker that forgets after two seconds, and whose pipeline prints its input.
WORKER = """
import sys
from stream.runner import stop_on_signals
from stream.kafka.settings import KafkaSettings
from stream.kafka.faust.worker import Worker
from tests.stream.doubles import PipelineDouble

class Told(PipelineDouble):
    def push(self, chunks, *, last=False):
        super().push(chunks)
        for chunk in chunks:
            print(chunk.ends or "received", chunk.station, chunk.start, flush=True)
        return []
    def restore(self, station, stored):
        super().restore(station, stored)
        print("resumed", station, stored.oldest, flush=True)
    def forget(self, station):
        super().forget(station)
        print("forgot", station, 0, flush=True)

settings = KafkaSettings.model_validate_json(sys.argv[1])
settings = settings.model_copy(update={"idle_s": 1.0, "forget_s": 2.0})
with stop_on_signals() as stop:
    Worker(settings, Told(), checkpoint_s=0.2).run(stop)
"""


def send(settings, station, start):
    sender = Producer(settings)
    message = encode(AudioChunk(station, start, np.zeros(1600, np.float32), RATE))
    sender.send(settings.topics.audio, *message)
    sender.flush()
    sender.close()


def records(settings):
    topic = settings.topics.state
    return list(follow(settings, [topic], stop=Stop(), from_start=True, until_end=True))


def state(settings):
    """Return the newest value of each key."""
    return {record.key.decode(): record.value for record in records(settings)}


def hand_over(settings, group):
    """Write what one group has stored for another; the broker lets no group change its driver."""
    sender = Producer(settings)
    for record in records(settings):
        key = record.key.replace(settings.group.encode(), group.encode())
        sender.send(settings.topics.state, key, record.value, [], record.partition)
    sender.flush()
    sender.close()


def forget_one(settings):
    """Read as `airsift run` does, while b plays, until a station is forgotten; return its ends."""
    source, ends = KafkaSource(settings, rate=RATE), []
    deadline = time.monotonic() + 60
    for batch in source:
        assert time.monotonic() < deadline
        ends += [(c.station, c.start, c.ends) for c in audio_of(batch) if c.ends]
        source.checkpoint({chunk.station: snapshot(chunk.end) for chunk in audio_of(batch)})
        if Lost("a", is_silent=True) in batch:
            break
        if not audio_of(batch):
            send(settings, "b", round(time.time() * RATE))
    source.checkpoint({})
    source.close()
    return ends


def test_a_station_that_is_forgotten_leaves_nothing_and_begins_anew(kafka_settings, tmp_path):
    settings = kafka_settings.model_copy(update={"idle_s": 1.0, "forget_s": 2.0})
    ensure_topics(settings, [settings.topics.audio])
    send(settings, "a", 0)
    assert forget_one(settings) == [("a", 1600, "idle")]
    assert state(settings)[f"{settings.group}/a"] is None
    assert state(settings)[f"{settings.group}/b"] is not None

    settings = kafka_settings.model_copy(update={"group": f"{settings.group}w"})
    hand_over(kafka_settings, settings.group)
    log = tmp_path / "log"
    with log.open("w") as out:
        arguments = [sys.executable, "-c", WORKER, settings.model_dump_json()]
        worker = subprocess.Popen(arguments, stdout=out)
    try:
        deadline = time.monotonic() + 90
        while "forgot a 0" not in (lines := log.read_text().splitlines()):
            assert worker.poll() is None
            assert time.monotonic() < deadline, lines
            time.sleep(0.3)
            send(settings, "b", round(time.time() * RATE))
        while state(settings).get(f"{settings.group}/a", b"") is not None:
            assert time.monotonic() < deadline
    finally:
        worker.terminate()
        worker.wait(30)
    assert {line.split()[1] for line in lines if line.startswith("resumed")} == {"b"}
    about_a = [line for line in lines if line.split()[1] == "a"]
    assert about_a == ["received a 0", "idle a 1600", "forgot a 0"]
