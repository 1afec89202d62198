"""The testbed of a scenario: a broker, stations, workers and a subscriber."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

from bench.brokers import make_broker, nodes
from bench.chaos.expected import Truth
from bench.chaos.stations import RATE, Station, StationPublisher
from bench.chaos.subscriber import Subscriber
from bench.chaos.workers import SESSION_S, Workers
from stream.kafka.client.connect import ensure_topics
from stream.kafka.settings import KafkaSettings, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream.kafka.codec.message import Message

PARTITIONS = 8
N_STATIONS = 8  # of most scenarios
TIMEOUT_S = 240.0


class Testbed:
    """Broker, stations, workers and subscriber of one scenario; all end with the block.

    Parameters
    ----------
    driver : {"run", "worker"}
        Command of the workers.
    seed : int
        Random seed of the faults.
    kind : {"kafka", "cluster", "embedded"}
        Kind of the broker.
    """

    def __init__(self, driver: str, seed: int, kind: str) -> None:
        self._kind = kind
        self.driver = driver
        self.random = random.Random(seed)
        self.broker = make_broker(kind)
        self.recoveries: list[float] = []
        self.faults = self.restarts = 0
        self.supervised = False  # whether workers that exit are restarted
        self.publisher: StationPublisher | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.broker)
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.settings = KafkaSettings.default(
            bootstrap_servers=self.broker.bootstrap_servers,
            topics=TopicSettings.default(partitions=PARTITIONS, replication=nodes(self._kind)),
        )
        topics = self.settings.topics
        names = [topics.audio, topics.dead_letters, topics.state, *topics.events.values()]
        ensure_topics(self.settings, names)
        self.workers = Workers(self.driver, self.settings, self.folder)
        self._stack.callback(self.workers.end)
        self.subscriber = Subscriber(self.settings)
        self.subscriber.start()
        self._stack.callback(self.subscriber.off)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, plan: Iterable[Sequence[Message]], *, seconds_each: float, speed: float) -> None:
        """Start the stations."""
        self.publisher = StationPublisher(
            self.settings, plan, seconds_each=seconds_each, speed=speed
        )
        self.publisher.hold_until = lambda: bool(self.subscriber.processed)
        self.publisher.start()
        self._stack.callback(self.publisher.stop)

    def wait(self, ready: Callable[[], bool], what: str, within_s: float = TIMEOUT_S) -> None:
        """Wait until `ready`; `what` names it in the error."""
        began = time.monotonic()
        while not ready():
            if self.supervised:
                self.restarts += self.workers.restart_dead()
            if time.monotonic() - began > within_s:
                text = f"after {within_s:g} s not yet: {what}"
                raise RuntimeError(f"{text}\n{self.workers.logs()}")
            time.sleep(0.02)

    def wait_joined(self) -> None:
        """Wait until every worker has partitions, as a rolling upgrade does."""
        self.wait(self.workers.joined, "all workers have partitions")

    def wait_processed(self, names: Iterable[str], seconds: float) -> None:
        """Wait until every station is processed up to `seconds`."""
        _log(f"waiting until all are processed up to {seconds:g} s")
        processed = self.subscriber.processed
        self.wait(
            lambda: all(processed.get(n, 0.0) >= seconds for n in names), f"{seconds:g} s processed"
        )

    def recover(self, names: Sequence[str], since: float, beyond_s: float = 3.0) -> None:
        """Wait until every station has made progress after a fault; record the time.

        Parameters
        ----------
        names : sequence of str
            The stations.
        since : float
            Monotonic time of the fault.
        beyond_s : float
            Audio that may have been processed before the fault and not yet published.
        """
        processed = self.subscriber.processed
        goals = {name: processed.get(name, 0.0) + beyond_s for name in names}
        self.wait(lambda: all(processed.get(n, 0.0) >= g for n, g in goals.items()), "recovered")
        self.recoveries.append(time.monotonic() - since)
        _log(f"recovered in {self.recoveries[-1]:.1f} s")
        self.faults += 1

    def sleep(self, min_s: float, max_s: float) -> None:
        """Sleep for a random time."""
        time.sleep(self.random.uniform(min_s, max_s))

    def result(self, truth: Truth) -> dict[str, float]:
        """Wait for the last events; return the row of the table."""
        subscriber = self.subscriber

        def over() -> bool:
            quiet = time.monotonic() - subscriber.last_line
            if quiet <= 2.0:
                return False
            return quiet > 3 * SESSION_S or not truth.compare(list(subscriber.lines)).lost

        self.wait(over, "the end", 300)
        compared = truth.compare(subscriber.lines)
        for what, lines in (("lost", compared.lost), ("wrong", compared.wrong)):
            for line in lines[:12]:
                _log(f"{what}: {line}")
        if compared.lost or compared.wrong:
            _log(self.workers.logs())
        known = self.recoveries or [0.0]
        return (
            {"faults": float(self.faults)}
            | compared.columns
            | {
                "recovery_s": round(median(known), 1),
                "longest_s": round(max(known), 1),
                "aim_s": SESSION_S + 5.0,
            }
        )


def plan(playing: list[Station]) -> Iterator[list[Message]]:
    """Yield one message of each station, repeatedly."""
    for k in count():
        yield [station.message(k * station.chunk) for station in playing]


def start_stations(testbed: Testbed, playing: list[Station], speed: float) -> list[str]:
    """Start two workers and the stations; return the names when all are processed."""
    testbed.workers.start()
    testbed.workers.start()
    testbed.play(plan(playing), seconds_each=playing[0].chunk / RATE, speed=speed)
    names = [station.name for station in playing]
    testbed.wait_processed(names, 6.0)
    return names


def finish(testbed: Testbed, playing: list[Station]) -> dict[str, float]:
    """Stop the stations; return the row of the table."""
    rounds = testbed.publisher.off() if testbed.publisher else 0
    truth = Truth()
    for s in playing:
        truth.add(s.message(k * s.chunk) for k in range(rounds))
    return testbed.result(truth)


def _log(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
