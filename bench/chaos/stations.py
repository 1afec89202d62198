"""The synthetic stations, and the publisher of their messages."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from kafka import KafkaProducer

from stream.audio import AudioChunk
from stream.kafka.codec.message import Message, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream.kafka.settings import KafkaSettings

RATE = 16_000
BEGAN = 1_750_000_000.0  # Unix time of every station's sample 0
FIRST_S = 8.0  # of every station are sent at once
TIMEOUT_S = 240.0  # for the broker to acknowledge the last messages


@dataclass(frozen=True)
class Station:
    """An endless programme of notes, noise and silence.

    Chunk k is a function of the seed, the number and k.
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
        """Return the message with `n` samples from `start` on."""
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


class StationPublisher(threading.Thread):
    """Publishes a plan in scaled real time until stopped.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics.
    plan : iterable of sequences of Message
        Messages that are sent together, `seconds_each` of every station.
    speed : float > 0
        Times real time.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        plan: Iterable[Sequence[Message]],
        *,
        seconds_each: float,
        speed: float,
    ) -> None:
        super().__init__(name="air", daemon=True)
        self._settings = settings
        # The first seconds at once, and the rest when a worker has started.
        self._first = iter(plan)
        self._plan = paced(self._first, seconds_each, speed)
        self._at_once = round(FIRST_S / seconds_each)
        self._off = threading.Event()
        self._futures: list[Any] = []
        self._error: BaseException | None = None
        self.rounds = 0
        self.hold_until: Callable[[], bool] = lambda: True

    def run(self) -> None:
        try:
            # Not idempotent: a killed broker may lose the producer's sequence numbers.
            producer = KafkaProducer(
                bootstrap_servers=self._settings.bootstrap_servers,
                acks="all",
                enable_idempotence=False,
                max_in_flight_requests_per_connection=1,
                linger_ms=5,
            )
            try:
                begin = itertools.islice(self._first, self._at_once)
                for messages in itertools.chain(begin, self._held(), self._plan):
                    for key, value, headers in messages:
                        topic = self._settings.topics.audio
                        self._futures.append(producer.send(topic, value, key, headers))
                    self.rounds += 1
                    if self._off.is_set():
                        break
                producer.flush(timeout=TIMEOUT_S)
            finally:
                producer.close(timeout=1)
        except BaseException as error:
            self._error = error

    def _held(self) -> Iterator[Sequence[Message]]:
        while not (self.hold_until() or self._off.is_set()):
            time.sleep(0.05)
        yield from ()

    def stop(self) -> None:
        """Stop while the broker is there, also after a failure: a later scenario is alone."""
        self._off.set()
        self.join(10)

    def off(self) -> int:
        """Stop; return how many rounds of the plan the broker has."""
        self._off.set()
        return self.finish()

    def finish(self) -> int:
        """Wait for the end of the plan; return how many rounds of it the broker has."""
        self.join(TIMEOUT_S + 10)
        if self._error is not None:
            raise self._error
        failed = sum(not f.is_done or f.failed() for f in self._futures)
        if failed or self.is_alive():
            raise RuntimeError(f"{failed} messages of the stations did not reach the broker")
        return self.rounds


def paced(
    plan: Iterable[Sequence[Message]], seconds_each: float, speed: float
) -> Iterator[Sequence[Message]]:
    """Yield each item of `plan` at its time."""
    begin = time.monotonic()
    for number, messages in enumerate(plan):
        wait = begin + number * seconds_each / speed - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield messages
