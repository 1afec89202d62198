"""The scenarios of `chaos.py` in which stations do what they should not."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING

from bench.chaos.eight_stations import EIGHT, verdict
from bench.chaos.expected import Truth
from bench.chaos.stations import RATE, Station, stations
from bench.chaos.testbed import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.kafka.codec.message import Message


def stall(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """Silence one station for 10 minutes of its time; kill a worker meanwhile."""
    away = 600 * RATE
    with Stage(driver, seed, kind) as stage:
        playing = stations(EIGHT, seed)
        silent = playing[3]

        def at(station: Station, k: int) -> int:
            return k * station.chunk + (away if station is silent and k >= 60 else 0)

        def plan() -> Iterator[list[Message]]:
            for k in count():
                # For 60 rounds nothing of it comes.
                heard = [s for s in playing if s is not silent or not 60 <= k < 120]
                yield [s.message(at(s, k)) for s in heard]

        stage.workers.start()
        stage.workers.start()
        stage.play(plan(), seconds_each=0.5, speed=speed)
        names = [s.name for s in playing]
        others = [n for n in names if n != silent.name]
        stage.wait_heard(others, 40.0)
        since = time.monotonic()
        stage.workers.kill(stage.random.choice(stage.workers.alive))
        stage.workers.start()
        stage.recover(others, since)
        stage.wait_heard(names, 75.0)
        rounds = stage.air.off() if stage.air else 0
        truth = Truth()
        for s in playing:
            ks = [k for k in range(rounds) if s is not silent or not 60 <= k < 120]
            truth.add(s.message(at(s, k)) for k in ks)
        gaps = [key for key in truth.said if "/gap/" in key]
        assert len(gaps) == 1, gaps
        return stage.judge(truth)


def damage(driver: str, seed: int, kind: str, speed: float, seconds: int = 200) -> dict[str, float]:
    """Of the chunks 1 % are lost, 1 % come twice, 1 % change places, 1 % are random bytes."""
    with Stage(driver, seed, kind) as stage:
        playing = stations(EIGHT, seed, codec="flac")
        sent: list[list[Message]] = [[] for _ in range(2 * seconds + 1)]
        truth, letters = Truth(reasons=False), 0
        for station in playing:
            whole: list[Message] = []
            swapped = False
            for k in range(2 * seconds):
                message = station.message(k * station.chunk)
                fate = stage.random.random()
                # At the end nothing: what is missing there would be waited for.
                if swapped or k >= 2 * seconds - 20:
                    fate, swapped = 1.0, False
                stage.faults += fate < 0.04
                if fate < 0.01:
                    continue
                if fate < 0.02:
                    sent[k].append(message)
                elif fate < 0.03:
                    # One later, and the next one keeps its place: they have changed places.
                    swapped = True
                    whole.append(message)
                    sent[k + 1].append(message)
                    continue
                elif fate < 0.04:
                    letters += 1
                    noise = stage.random.randbytes(len(message.value or b""))
                    sent[k].append(message._replace(value=noise))
                    continue
                whole.append(message)
                sent[k].insert(0, message)
            truth.add(whole)
        stage.workers.start()
        stage.workers.start()
        stage.play(sent, seconds_each=0.5, speed=4 * speed)
        stage.wait_heard([s.name for s in playing], seconds - 30.0)
        if stage.air:
            stage.air.finish()
        row = stage.judge(truth)
        gaps = sum("/gap/" in key for key in truth.said)
        return row | {
            "gaps": float(gaps),
            "letters_missing": float(letters - stage.subscriber.letters),
        }


def pair(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """Two producers send one station, in other pieces and one of them late; a worker dies."""
    with Stage(driver, seed, kind) as stage:
        playing = stations(EIGHT, seed)
        doubled = playing[0]
        other = 4960  # samples in a message of the second producer

        def plan() -> Iterator[list[Message]]:
            at = 0
            for k in count():
                late = []
                while (at + 1) * other <= (k - 2) * doubled.chunk:
                    late.append(doubled.message(at * other, other))
                    at += 1
                yield [*(s.message(k * s.chunk) for s in playing), *late]

        stage.workers.start()
        stage.workers.start()
        stage.play(plan(), seconds_each=0.5, speed=speed)
        names = [s.name for s in playing]
        stage.wait_heard(names, 20.0)
        since = time.monotonic()
        stage.workers.kill(stage.random.choice(stage.workers.alive))
        stage.workers.start()
        stage.recover(names, since)
        stage.wait_heard(names, max(stage.subscriber.heard.values()) + 10.0)
        return verdict(stage, playing)
