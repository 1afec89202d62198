"""Eight stations that simply play: what most scenarios of `chaos.py` begin and end with."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from bench.chaos.expected import Truth
from bench.chaos.stations import RATE, Station

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.chaos.testbed import Stage
    from stream.kafka.codec.message import Message

EIGHT = 8


def plan(playing: list[Station]) -> Iterator[list[Message]]:
    """Give one message of each station, again and again."""
    for k in count():
        yield [station.message(k * station.chunk) for station in playing]


def on_air(stage: Stage, playing: list[Station], speed: float) -> list[str]:
    """Start two workers and the stations; return their names when all are heard."""
    stage.workers.start()
    stage.workers.start()
    stage.play(plan(playing), seconds_each=playing[0].chunk / RATE, speed=speed)
    names = [station.name for station in playing]
    stage.wait_heard(names, 6.0)
    return names


def verdict(stage: Stage, playing: list[Station]) -> dict[str, float]:
    """Take the stations off the air, and return the table's line."""
    rounds = stage.air.off() if stage.air else 0
    truth = Truth()
    for s in playing:
        truth.add(s.message(k * s.chunk) for k in range(rounds))
    return stage.judge(truth)
