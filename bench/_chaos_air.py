"""What the stations of `chaos.py` play, and what must be said about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream import config
from stream.audio import AudioChunk
from stream.build import build_pipeline
from stream.kafka.wire import ChunkDecoder, Message, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream.pipeline import Pipeline

RATE = 16_000
BEGAN = 1_750_000_000.0  # Unix time of every station's sample 0


@dataclass(frozen=True)
class Station:
    """A programme of notes, noise and silence that goes on for ever.

    Chunk k is a function of the seed, the number and k alone, so that nothing has to be kept.
    """

    number: int
    seed: int
    chunk: int = RATE // 2
    codec: str = "pcm"

    @property
    def name(self) -> str:
        return f"station {self.number}"

    def samples(self, start: int, n: int) -> np.ndarray:
        """Return samples [start, start + n), float32 in [-1, 1]."""
        block = RATE // 2
        first, last = start // block, -(-(start + n) // block)
        whole = np.concatenate([self._block(b) for b in range(first, last)])
        return whole[start - first * block :][:n].astype(np.float32)

    def message(self, start: int, n: int | None = None) -> Message:
        """Return the message that holds `n` samples from `start` on."""
        n = self.chunk if n is None else n
        time_s = BEGAN + start / RATE
        return encode(
            AudioChunk(self.name, start, self.samples(start, n), RATE, time_s), self.codec
        )

    def _block(self, b: int) -> np.ndarray:
        rng = np.random.default_rng((self.seed, self.number, b))
        t = np.arange(RATE // 2) / RATE
        part = (b + 7 * self.number) % 75
        if part < 40:
            pitches = 220 * 2 ** (rng.integers(0, 24, 2) / 12)
            beat = t % 0.25
            tone = np.sin(2 * np.pi * np.where(t < 0.25, *pitches) * beat) * np.exp(-6 * beat)
            return 0.4 * tone + 0.001 * rng.standard_normal(len(t))
        return (0.05 if part < 62 else 0.0005) * rng.standard_normal(len(t))


def stations(count: int, seed: int, **options: object) -> list[Station]:
    """Return the first `count` stations of a seed."""
    return [Station(number, seed, **options) for number in range(count)]  # type: ignore[arg-type]


class Truth:
    """What one undisturbed pipeline, without Kafka, says about the same messages.

    Parameters
    ----------
    reasons : bool
        Whether gaps must agree in their reason as well.
    """

    def __init__(self, *, reasons: bool = True) -> None:
        self._reasons = reasons
        self.said: dict[str, list[str]] = {}  # of each id its forms, in order

    def add(self, messages: Iterable[Message]) -> None:
        """Hear messages as if nothing had happened; those of a station in the right order."""
        settings = config.load(environ={}).config
        pipeline, decoder = build_pipeline(settings), ChunkDecoder(settings.kafka.wire)
        for some in _many(messages, 64):
            chunks = [decoder.decode(m.key, m.value, m.headers, None) for m in some]
            self._note(pipeline, chunks)

    def _note(self, pipeline: Pipeline, chunks: Sequence[AudioChunk]) -> None:
        for event in pipeline.push(chunks):
            form = comparable(event.to_json(), reasons=self._reasons)
            self.said.setdefault(event.id, []).append(form)

    @property
    def forms(self) -> set[tuple[str, str]]:
        """Every (id, form) that must be published."""
        return {(key, form) for key, forms in self.said.items() for form in forms}


def comparable(line: str, *, reasons: bool) -> str:
    """Return what of an event must be the same, byte for byte."""
    if reasons or '"airsift.gap/' not in line:
        return line
    return line[: line.index('"reason"')]


def paced(
    plan: Iterable[Sequence[Message]], seconds_each: float, speed: float
) -> Iterator[Sequence[Message]]:
    """Give each item of `plan` at its time."""
    begin = time.monotonic()
    for number, messages in enumerate(plan):
        wait = begin + number * seconds_each / speed - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield messages


def _many(items: Iterable[Message], size: int) -> Iterator[list[Message]]:
    some: list[Message] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
