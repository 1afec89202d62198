"""Stations on the air for as long as a test lasts, a worker, and what it publishes."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from contextlib import suppress

import numpy as np
from kafka import TopicPartition
from kafka.errors import KafkaError

from airsift.errors import BrokerError
from stream.kafka.client.connect import connect_consumer, connect_producer
from tests.integration.road import AIRSIFT, DRIVERS
from tests.waiting import wait_until

RATE = 16000
CHUNK_S = 0.25


class OnAir:
    """Sends each station's audio at the pace of air, counted from the clock.

    What a broker that is away does not take is missing, as from an encoder without a memory.

    Parameters
    ----------
    settings : KafkaSettings
        Where to.
    stations : iterable of str
        Their names.
    rate : int
        Samples per second.
    before_s : float
        Seconds of audio from before the beginning, which are sent at once.

    Attributes
    ----------
    sent : dict of str to int
        Chunks that the broker has taken, of each station.
    """

    def __init__(self, settings, stations, rate=RATE, before_s=0.0):
        self._settings = settings
        self._stations = list(stations)
        self._rate = rate
        self._before_s = before_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.sent = dict.fromkeys(self._stations, 0)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join(30)

    def _send(self):
        producer = connect_producer(self._settings, max_block_ms=200, client_id="encoder")
        size = round(CHUNK_S * self._rate)
        rng = np.random.default_rng(1)
        noise = (rng.standard_normal(size) * 2000).astype("<i2").tobytes()
        n = round((time.time() - self._before_s) / CHUNK_S)
        while not self._ended.is_set():
            for station in self._stations:
                headers = [
                    ("content-type", b"audio/x-s16le"),
                    ("rate", str(self._rate).encode()),
                    ("start_sample", str(n * size).encode()),
                ]
                with suppress(KafkaError, BrokerError):
                    producer.send(
                        self._settings.topics.audio, noise, station.encode(), headers
                    ).add_callback(lambda _, s=station: self._count(s))
            n += 1
            self._ended.wait(max(n * CHUNK_S - time.time(), 0))
        with suppress(KafkaError):
            producer.close(timeout=1)

    def _count(self, station):
        self.sent[station] += 1


class Worker:
    """A driver's process, and what it logs."""

    def __init__(self, driver, environment, *options):
        self.lines = []
        self.process = subprocess.Popen(
            [*AIRSIFT, *DRIVERS[driver], *options],
            env=environment | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def wait_for(self, words, timeout_s=60):
        wait_until(
            lambda: any(words in line for line in self.lines),
            timeout_s,
            process=self.process,
            why=lambda: "".join(self.lines),
        )

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(20) == 0, "".join(self.lines)
        finally:
            self.process.kill()


class Decisions:
    """Reads the decisions and the gaps of stations as they come."""

    def __init__(self, settings, stations, partitions):
        topics = settings.topics
        self._gaps_topic = topics.gaps
        self._consumer = connect_consumer(settings, client_id="subscriber")
        kinds = (topics.decisions, topics.gaps)
        self._consumer.assign([TopicPartition(n, p) for n in kinds for p in range(partitions)])
        self.ends, self.gaps = {station: set() for station in stations}, []

    def read_until(self, second, timeout_s=150):
        """Read until each station has a decision of after a second."""
        deadline = time.monotonic() + timeout_s
        while not all(ends and max(ends) > second for ends in self.ends.values()):
            assert time.monotonic() < deadline, {s: max(e, default=0) for s, e in self.ends.items()}
            for tp, records in self._consumer.poll(timeout_ms=300).items():
                events = [json.loads(record.value) for record in records]
                if tp.topic == self._gaps_topic:
                    self.gaps += events
                else:
                    for event in events:
                        if event["final"]:
                            self.ends[event["station"]].add(event["end_s"])

    def check(self):
        """Assert that no second is missing, whichever worker had it."""
        assert self.gaps == []
        for station, ends in self.ends.items():
            assert sorted(ends) == [min(ends) + n for n in range(len(ends))], station

    def close(self):
        self._consumer.close()
