"""The scenarios with faulty stations."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING

from bench.chaos.expected import Truth
from bench.chaos.stations import RATE, Station, stations
from bench.chaos.testbed import N_STATIONS, Testbed, finish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.kafka.codec.message import Message


def stall(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """Silence one station for 10 minutes of its time; kill a worker meanwhile."""
    away = 600 * RATE
    with Testbed(driver, seed, kind) as testbed:
        playing = stations(N_STATIONS, seed)
        silent = playing[3]

        def at(station: Station, k: int) -> int:
            return k * station.chunk + (away if station is silent and k >= 60 else 0)

        def plan() -> Iterator[list[Message]]:
            for k in count():
                # The silent station sends nothing for 60 rounds.
                sending = [s for s in playing if s is not silent or not 60 <= k < 120]
                yield [s.message(at(s, k)) for s in sending]

        testbed.workers.start()
        testbed.workers.start()
        testbed.play(plan(), seconds_each=0.5, speed=speed)
        names = [s.name for s in playing]
        others = [n for n in names if n != silent.name]
        testbed.wait_processed(others, 40.0)
        since = time.monotonic()
        testbed.workers.kill(testbed.random.choice(testbed.workers.alive))
        testbed.workers.start()
        testbed.recover(others, since)
        testbed.wait_processed(names, 75.0)
        rounds = testbed.publisher.off() if testbed.publisher else 0
        truth = Truth()
        for s in playing:
            ks = [k for k in range(rounds) if s is not silent or not 60 <= k < 120]
            truth.add(s.message(at(s, k)) for k in ks)
        gaps = [key for key in truth.forms_by_id if "/gap/" in key]
        assert len(gaps) == 1, gaps
        return testbed.result(truth)


def damage(driver: str, seed: int, kind: str, speed: float, seconds: int = 200) -> dict[str, float]:
    """Lose, repeat, swap and corrupt 1 % of the chunks each."""
    with Testbed(driver, seed, kind) as testbed:
        playing = stations(N_STATIONS, seed, codec="flac")
        sent: list[list[Message]] = [[] for _ in range(2 * seconds + 1)]
        truth, letters = Truth(reasons=False), 0
        for station in playing:
            whole: list[Message] = []
            swapped = False
            for k in range(2 * seconds):
                message = station.message(k * station.chunk)
                fate = testbed.random.random()
                # No faults at the end: the worker would wait for missing chunks.
                if swapped or k >= 2 * seconds - 20:
                    fate, swapped = 1.0, False
                testbed.faults += fate < 0.04
                if fate < 0.01:
                    continue
                if fate < 0.02:
                    sent[k].append(message)
                elif fate < 0.03:
                    # Sent after the next chunk: the two are swapped.
                    swapped = True
                    whole.append(message)
                    sent[k + 1].append(message)
                    continue
                elif fate < 0.04:
                    letters += 1
                    noise = testbed.random.randbytes(len(message.value or b""))
                    sent[k].append(message._replace(value=noise))
                    continue
                whole.append(message)
                sent[k].insert(0, message)
            truth.add(whole)
        testbed.workers.start()
        testbed.workers.start()
        testbed.play(sent, seconds_each=0.5, speed=4 * speed)
        testbed.wait_processed([s.name for s in playing], seconds - 30.0)
        if testbed.publisher:
            testbed.publisher.finish()
        row = testbed.result(truth)
        gaps = sum("/gap/" in key for key in truth.forms_by_id)
        return row | {
            "gaps": float(gaps),
            "letters_missing": float(letters - testbed.subscriber.letters),
        }


def pair(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """Let two producers send one station, in different pieces, one late; kill a worker."""
    with Testbed(driver, seed, kind) as testbed:
        playing = stations(N_STATIONS, seed)
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

        testbed.workers.start()
        testbed.workers.start()
        testbed.play(plan(), seconds_each=0.5, speed=speed)
        names = [s.name for s in playing]
        testbed.wait_processed(names, 20.0)
        since = time.monotonic()
        testbed.workers.kill(testbed.random.choice(testbed.workers.alive))
        testbed.workers.start()
        testbed.recover(names, since)
        testbed.wait_processed(names, max(testbed.subscriber.processed.values()) + 10.0)
        return finish(testbed, playing)
