"""The faults of `chaos.py`, one function each."""

from __future__ import annotations

import resource
import signal
import subprocess
import time
from itertools import count
from statistics import median
from typing import TYPE_CHECKING

from _chaos_air import RATE, Station, Truth, stations
from _chaos_stage import SESSION_S, Stage

from stream.kafka.wire import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

EIGHT = 8


def kill(driver: str, seed: int, speed: float, kills: int = 20) -> dict[str, float]:
    """Kill -9 one of two workers again and again; a supervisor starts another at once."""
    with Stage(driver, seed) as stage:
        names = _on_air(stage, playing := stations(EIGHT, seed), speed)
        for _ in range(kills):
            stage.wait_joined()
            stage.sleep(0.0, 4.0)
            since = time.monotonic()
            stage.kill(stage.random.choice(stage.workers))
            stage.start_worker()
            stage.recover(names, since)
        return _verdict(stage, playing)


def broker(driver: str, seed: int, speed: float, rounds: int = 3) -> dict[str, float]:
    """Kill -9 the broker, whose data are in an S3 store, and start it again 3 s later."""
    from _chaos_storage import durable_broker

    with durable_broker() as durable, Stage(driver, seed, durable) as stage:
        stage.supervised = True
        names = _on_air(stage, playing := stations(EIGHT, seed, chunk=RATE), speed / 2)
        for _ in range(rounds):
            stage.sleep(2.0, 6.0)
            durable.stop()
            time.sleep(3.0)
            durable.start()
            stage.recover(names, time.monotonic())
        return _verdict(stage, playing) | {"restarts": float(stage.restarts)}


def freeze(driver: str, seed: int, speed: float, rounds: int = 3) -> dict[str, float]:
    """SIGSTOP a worker until others have its stations, then SIGCONT."""
    with Stage(driver, seed) as stage:
        names = _on_air(stage, playing := stations(EIGHT, seed), speed)
        for _ in range(rounds):
            stage.sleep(0.0, 3.0)
            worker = stage.random.choice(stage.workers)
            since = time.monotonic()
            worker.send_signal(signal.SIGSTOP)
            stage.recover(names, since)
            stage.sleep(0.5, 4.0)
            worker.send_signal(signal.SIGCONT)
            stage.sleep(2.0, 5.0)
            stage.restart_dead()
            stage.wait_heard(names, max(stage.subscriber.heard.values()) + 3.0)
        return _verdict(stage, playing)


def stall(driver: str, seed: int, speed: float) -> dict[str, float]:
    """Silence one station for 10 minutes of its time; kill a worker meanwhile."""
    away = 600 * RATE
    with Stage(driver, seed) as stage:
        playing = stations(EIGHT, seed)
        silent = playing[3]

        def at(station: Station, k: int) -> int:
            return k * station.chunk + (away if station is silent and k >= 60 else 0)

        def plan() -> Iterator[list[Message]]:
            for k in count():
                # For 60 rounds nothing of it comes.
                heard = [s for s in playing if s is not silent or not 60 <= k < 120]
                yield [s.message(at(s, k)) for s in heard]

        stage.start_worker()
        stage.start_worker()
        stage.play(plan(), seconds_each=0.5, speed=speed)
        names = [s.name for s in playing]
        others = [n for n in names if n != silent.name]
        stage.wait_heard(others, 40.0)
        since = time.monotonic()
        stage.kill(stage.random.choice(stage.workers))
        stage.start_worker()
        stage.recover(others, since)
        stage.wait_heard(names, 75.0)
        rounds = stage.air.off() if stage.air else 0
        truth = Truth()
        for s in playing:
            ks = [k for k in range(rounds) if s is not silent or not 60 <= k < 120]
            truth.add(s.message(at(s, k)) for k in ks)
        gaps = [key for key in truth.said if "/gap/" in key]
        assert len(gaps) == 1, gaps
        return _row(stage, truth)


def damage(driver: str, seed: int, speed: float, seconds: int = 200) -> dict[str, float]:
    """Of the chunks 1 % are lost, 1 % come twice, 1 % change places, 1 % are random bytes."""
    with Stage(driver, seed) as stage:
        playing = stations(EIGHT, seed, codec="flac")
        sent: list[list[Message]] = [[] for _ in range(2 * seconds + 1)]
        truth, letters = Truth(reasons=False), 0
        for station in playing:
            whole: list[Message] = []
            swapped = False
            for k in range(2 * seconds):
                message = station.message(k * station.chunk)
                fate = stage.random.random()
                if swapped:
                    fate, swapped = 1.0, False
                stage.faults += fate < 0.04
                if fate < 0.01:
                    continue
                if fate < 0.02:
                    sent[k].append(message)
                elif fate < 0.03 and k + 1 < 2 * seconds:
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
        stage.start_worker()
        stage.start_worker()
        stage.play(sent, seconds_each=0.5, speed=4 * speed)
        stage.wait_heard([s.name for s in playing], seconds - 30.0)
        if stage.air:
            stage.air.off()
        row = _row(stage, truth, reasons=False)
        gaps = sum("/gap/" in key for key in truth.said)
        return row | {
            "gaps": float(gaps),
            "letters_missing": float(letters - stage.subscriber.letters),
        }


def pair(driver: str, seed: int, speed: float) -> dict[str, float]:
    """Two producers send one station, in other pieces and one of them late; a worker dies."""
    with Stage(driver, seed) as stage:
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

        stage.start_worker()
        stage.start_worker()
        stage.play(plan(), seconds_each=0.5, speed=speed)
        names = [s.name for s in playing]
        stage.wait_heard(names, 20.0)
        since = time.monotonic()
        stage.kill(stage.random.choice(stage.workers))
        stage.start_worker()
        stage.recover(names, since)
        stage.wait_heard(names, max(stage.subscriber.heard.values()) + 10.0)
        return _verdict(stage, playing)


def disk(driver: str, seed: int, speed: float) -> dict[str, float]:
    """`run`: the disk of a JSON Lines sink is full for 5 s. `worker`: no file can be written."""
    with Stage(driver, seed) as stage:
        playing = stations(EIGHT, seed)
        if driver == "worker":
            # A file system's limit for the process: the system refuses any byte of a file.
            stage.start_worker(
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stage.play(_plan(playing), seconds_each=0.5, speed=speed)
            stage.wait_heard([s.name for s in playing], 60.0)
            stage.faults += 1
            return _verdict(stage, playing)
        path = stage.folder / "events.jsonl"
        command = ["run", "--source", "kafka", "--sink", f"jsonl:{path}", "--sink", "kafka"]
        limit = 150_000
        worker = stage.start_worker(
            command,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
            ),
        )
        stage.play(_plan(playing), seconds_each=0.5, speed=speed)
        stage.wait(lambda: path.exists() and path.stat().st_size > limit - 20_000, "full")
        time.sleep(5.0)
        assert worker.poll() is None, "the worker ended on a full disk"
        since = time.monotonic()
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, unlimited)
        names = [s.name for s in playing]
        stage.recover(names, since)
        stage.kill(worker)
        stage.start_worker(command)
        stage.wait_heard(names, max(stage.subscriber.heard.values()) + 5.0)
        row = _verdict(stage, playing)
        lines = path.read_text(encoding="utf-8").splitlines()
        missing = set(stage.subscriber.lines) - set(lines)
        return row | {"missing_in_file": float(len(missing))}


def slow(driver: str, seed: int, speed: float, seconds: float = 30.0) -> dict[str, float]:
    """Let the broker answer for 60 ms of every 400, and once not at all for 4 s."""
    with Stage(driver, seed) as stage:
        playing = stations(EIGHT, seed)
        names = _on_air(stage, playing, speed / 2)
        process = stage.broker.process
        assert process is not None
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.34)
                process.send_signal(signal.SIGCONT)
                time.sleep(0.06)
            process.send_signal(signal.SIGSTOP)
            time.sleep(4.0)
        finally:
            process.send_signal(signal.SIGCONT)
        since = time.monotonic()
        stage.recover(names, since)
        return _verdict(stage, playing)


def rolling(driver: str, seed: int, speed: float) -> dict[str, float]:
    """SIGTERM and a new worker in its place, one after the other, twice round."""
    with Stage(driver, seed) as stage:
        names = _on_air(stage, playing := stations(EIGHT, seed), speed)
        slowest = 0.0
        for _ in range(4):
            stage.wait_joined()
            stage.sleep(0.0, 2.0)
            since = time.monotonic()
            code = stage.kill(stage.workers[0], signal.SIGTERM)
            slowest = max(slowest, time.monotonic() - since)
            assert code == 0, f"a worker asked to stop ended with {code}"
            stage.start_worker()
            stage.recover(names, since)
        return _verdict(stage, playing) | {"slowest_stop_s": slowest}


_ALL = (kill, broker, freeze, stall, damage, pair, disk, slow, rolling)
SCENARIOS = {scenario.__name__: scenario for scenario in _ALL}


def _plan(playing: list[Station]) -> Iterator[list[Message]]:
    for k in count():
        yield [station.message(k * station.chunk) for station in playing]


def _on_air(stage: Stage, playing: list[Station], speed: float) -> list[str]:
    """Start two workers and the stations; return when all are heard."""
    stage.start_worker()
    stage.start_worker()
    stage.play(_plan(playing), seconds_each=playing[0].chunk / RATE, speed=speed)
    names = [station.name for station in playing]
    stage.wait_heard(names, 6.0)
    return names


def _verdict(stage: Stage, playing: list[Station]) -> dict[str, float]:
    rounds = stage.air.off() if stage.air else 0
    truth = Truth()
    for s in playing:
        truth.add(s.message(k * s.chunk) for k in range(rounds))
    return _row(stage, truth)


def _row(stage: Stage, truth: Truth, *, reasons: bool = True) -> dict[str, float]:
    row = {"faults": float(stage.faults)} | stage.judge(truth, reasons=reasons)
    known = stage.recoveries or [0.0]
    return row | {
        "recovery_s": round(median(known), 1),
        "longest_s": round(max(known), 1),
        "aim_s": SESSION_S + 5.0,
    }
