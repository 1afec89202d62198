"""The scenario with broker failures."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from bench.brokers import nodes
from bench.chaos.stations import stations
from bench.chaos.testbed import N_STATIONS, Testbed, finish, start_stations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.kafka.apache_broker import ApacheKafka

AWAY_S = 3.0
FROZEN_S = 10.0
QUORUM_AWAY_S = 20.0

Fault = tuple["Callable[[], None]", float, "Callable[[], None]"]  # its begin, seconds, and end


def broker(driver: str, seed: int, kind: str, speed: float, rounds: int = 3) -> dict[str, float]:
    """Stop brokers: one repeatedly, or each of three in turn and then two at once."""
    with Testbed(driver, seed, kind) as testbed:
        testbed.supervised = True
        names = start_stations(testbed, playing := stations(N_STATIONS, seed), speed / 4)
        kafka = testbed.broker
        faults = _alone(kafka, rounds) if nodes(kind) == 1 else _of_three(kafka)
        for begin, seconds, end in faults:
            testbed.sleep(2.0, 6.0)
            begin()
            time.sleep(seconds)
            end()
            testbed.recover(names, time.monotonic())
        return finish(testbed, playing) | {"restarts": float(testbed.restarts)}


def _alone(kafka: ApacheKafka, rounds: int) -> Iterator[Fault]:
    for _ in range(rounds):
        yield kafka.kill, AWAY_S, kafka.start


def _of_three(kafka: ApacheKafka) -> Iterator[Fault]:
    for node in range(3):
        yield partial(kafka.stop, node), AWAY_S, kafka.start
        yield partial(kafka.kill, node), AWAY_S, kafka.start
        yield partial(kafka.freeze, node), FROZEN_S, kafka.thaw
    yield partial(_kill_both, kafka, 1, 2), QUORUM_AWAY_S, kafka.start


def _kill_both(kafka: ApacheKafka, *two: int) -> None:
    for node in two:
        kafka.kill(node)
