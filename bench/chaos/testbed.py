"""Where `chaos.py` plays: a broker, stations on the air, workers, and a subscriber."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

from bench.brokers import make_broker, nodes
from bench.chaos.stations import Air
from bench.chaos.subscriber import Subscriber
from bench.chaos.workers import SESSION_S, Workers
from stream.kafka.client.connect import ensure_topics
from stream.kafka.settings import KafkaSettings, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.chaos.expected import Truth
    from stream.kafka.codec.message import Message

PARTITIONS = 8
PATIENCE_S = 240.0


class Stage:
    """One scenario's broker, air, workers and subscriber; nothing of it outlives the block.

    Parameters
    ----------
    driver : {"run", "worker"}
        What the workers are.
    seed : int
        Of the faults.
    kind : {"kafka", "cluster", "embedded"}
        What the broker is.
    """

    def __init__(self, driver: str, seed: int, kind: str) -> None:
        self._kind = kind
        self.driver = driver
        self.random = random.Random(seed)
        self.broker = make_broker(kind)
        self.recoveries: list[float] = []
        self.faults = self.restarts = 0
        self.supervised = False  # whether a worker that ends by itself is started again
        self.air: Air | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.broker)
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.settings = KafkaSettings(
            bootstrap_servers=self.broker.bootstrap_servers,
            topics=TopicSettings(partitions=PARTITIONS, replication=nodes(self._kind)),
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
        """Put stations on the air."""
        self.air = Air(self.settings, plan, seconds_each=seconds_each, speed=speed)
        self.air.hold_until = lambda: bool(self.subscriber.heard)
        self.air.start()

    def wait(self, ready: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
        """Wait until `ready`; what is `what`, if it takes too long."""
        began = time.monotonic()
        while not ready():
            if self.supervised:
                self.restarts += self.workers.restart_dead()
            if time.monotonic() - began > within_s:
                said = f"after {within_s:g} s still not: {what}"
                raise RuntimeError(f"{said}\n{self.workers.logs()}")
            time.sleep(0.02)

    def wait_joined(self) -> None:
        """Wait until every worker has been given partitions, as a rolling upgrade does."""
        self.wait(self.workers.joined, "all workers have partitions")

    def wait_heard(self, names: Iterable[str], seconds: float) -> None:
        """Wait until every station has been judged up to `seconds`."""
        _say(f"until all are heard up to {seconds:g} s")
        heard = self.subscriber.heard
        self.wait(lambda: all(heard.get(n, 0.0) >= seconds for n in names), f"{seconds:g} s heard")

    def recover(self, names: Sequence[str], since: float, beyond_s: float = 3.0) -> None:
        """Wait until every station has got on since a fault, and note how long that took.

        Parameters
        ----------
        names : sequence of str
            The stations.
        since : float
            When the fault was, by the monotonic clock.
        beyond_s : float
            Audio that may have been judged before the fault and be under way.
        """
        heard = self.subscriber.heard
        goals = {name: heard.get(name, 0.0) + beyond_s for name in names}
        self.wait(lambda: all(heard.get(n, 0.0) >= g for n, g in goals.items()), "recovered")
        self.recoveries.append(time.monotonic() - since)
        _say(f"recovered in {self.recoveries[-1]:.1f} s")
        self.faults += 1

    def sleep(self, least: float, most: float) -> None:
        """Let a random time pass."""
        time.sleep(self.random.uniform(least, most))

    def judge(self, truth: Truth) -> dict[str, float]:
        """Wait for the last events, and return the table's line."""
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
                _say(f"{what}: {line}")
        if compared.lost or compared.wrong:
            _say(self.workers.logs())
        known = self.recoveries or [0.0]
        return (
            {"faults": float(self.faults)}
            | compared.figures
            | {
                "recovery_s": round(median(known), 1),
                "longest_s": round(max(known), 1),
                "aim_s": SESSION_S + 5.0,
            }
        )


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
