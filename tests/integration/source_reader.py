"""Audio over a real broker: sent as publishers do, received as drivers do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stream.audio import AudioChunk
from stream.kafka.client.publish import publish
from stream.kafka.client.source import KafkaSource
from stream.kafka.client.tail import follow
from stream.kafka.settings import KafkaSettings
from stream.runner import Stop
from stream.sources.base import Lost, Resumed, audio_of
from stream.testing import ListSource

RATE = 16000
CHUNK = RATE // 2


def send(settings: KafkaSettings, station: str, samples: np.ndarray, **options: Any) -> None:
    """Publish samples after the station's last one."""
    source = ListSource([[AudioChunk(station, 0, samples, RATE)]])
    publish(source, settings, stop=Stop(), speed=None, **{"codec": "pcm", "ends": False, **options})


class SourceReader:
    """Reads a source as a driver does, and collects its chunks."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.source = KafkaSource(settings, rate=RATE)
        self.batches = iter(self.source)
        self.chunks: dict[str, list[AudioChunk]] = {}
        self.resumed: dict[str, dict[str, Any]] = {}
        self.lost: set[str] = set()

    def read_until(self, enough: Callable[[], bool], timeout_s: float = 120.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not enough():
            assert time.monotonic() < deadline, f"received only {self.ends()}"
            self.step()

    def step(self) -> None:
        batch = next(self.batches)
        self.resumed |= {item.station: item.snapshot for item in batch if isinstance(item, Resumed)}
        self.lost |= {item.station for item in batch if isinstance(item, Lost)}
        for chunk in audio_of(batch):
            self.chunks.setdefault(chunk.station, []).append(chunk)

    def ends(self) -> dict[str, int]:
        return {station: chunks[-1].end for station, chunks in self.chunks.items()}

    def samples(self, station: str) -> np.ndarray:
        return np.concatenate([chunk.samples for chunk in self.chunks[station]])

    def close(self) -> None:
        self.source.close()


def read_all(settings: KafkaSettings, *topics: str) -> list[Any]:
    return list(follow(settings, topics, stop=Stop(), from_start=True, until_end=True))
