"""Stations that are on the air for as long as a test lasts."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import numpy as np
from kafka.errors import KafkaError

from airsift.errors import BrokerError
from stream.kafka.client.connect import connect_producer

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
