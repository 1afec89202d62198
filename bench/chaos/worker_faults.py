"""The scenarios of `chaos.py` in which workers or a disk fail, or the broker is slow."""

from __future__ import annotations

import resource
import signal
import subprocess
import time

from bench.chaos.eight_stations import EIGHT, on_air, plan, verdict
from bench.chaos.stations import stations
from bench.chaos.testbed import Stage


def kill(driver: str, seed: int, kind: str, speed: float, kills: int = 20) -> dict[str, float]:
    """Kill -9 one of two workers again and again; a supervisor starts another at once."""
    with Stage(driver, seed, kind) as stage:
        names = on_air(stage, playing := stations(EIGHT, seed), speed)
        for _ in range(kills):
            stage.wait_joined()
            stage.sleep(0.0, 4.0)
            since = time.monotonic()
            stage.workers.kill(stage.random.choice(stage.workers.alive))
            stage.workers.start()
            stage.recover(names, since)
        return verdict(stage, playing)


def freeze(driver: str, seed: int, kind: str, speed: float, rounds: int = 3) -> dict[str, float]:
    """SIGSTOP a worker until others have its stations, then SIGCONT."""
    with Stage(driver, seed, kind) as stage:
        names = on_air(stage, playing := stations(EIGHT, seed), speed)
        for _ in range(rounds):
            stage.sleep(0.0, 3.0)
            worker = stage.random.choice(stage.workers.alive)
            since = time.monotonic()
            worker.send_signal(signal.SIGSTOP)
            stage.recover(names, since)
            stage.sleep(0.5, 4.0)
            worker.send_signal(signal.SIGCONT)
            stage.sleep(2.0, 5.0)
            stage.workers.restart_dead()
            stage.wait_heard(names, max(stage.subscriber.heard.values()) + 3.0)
        return verdict(stage, playing)


def disk(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """`run`: the disk of a JSON Lines sink is full for 5 s. `worker`: no file can be written."""
    with Stage(driver, seed, kind) as stage:
        playing = stations(EIGHT, seed)
        if driver == "worker":
            # A file system's limit for the process: the system refuses any byte of a file.
            stage.workers.start(
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stage.play(plan(playing), seconds_each=0.5, speed=speed)
            stage.wait_heard([s.name for s in playing], 60.0)
            stage.faults += 1
            return verdict(stage, playing)
        path = stage.folder / "events.jsonl"
        command = ["run", "--source", "kafka", "--sink", f"jsonl:{path}", "--sink", "kafka"]
        limit = 150_000
        worker = stage.workers.start(
            command,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
            ),
        )
        stage.play(plan(playing), seconds_each=0.5, speed=speed)
        stage.wait(lambda: path.exists() and path.stat().st_size > limit - 20_000, "full")
        time.sleep(5.0)
        assert worker.poll() is None, "the worker ended on a full disk"
        since = time.monotonic()
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, unlimited)
        names = [s.name for s in playing]
        stage.recover(names, since)
        stage.workers.kill(worker)
        stage.workers.start(command)
        stage.wait_heard(names, max(stage.subscriber.heard.values()) + 5.0)
        row = verdict(stage, playing)
        lines = path.read_text(encoding="utf-8").splitlines()
        missing = set(stage.subscriber.lines) - set(lines)
        return row | {"missing_in_file": float(len(missing))}


def slow(
    driver: str, seed: int, kind: str, speed: float, seconds: float = 30.0
) -> dict[str, float]:
    """Let the broker answer for 60 ms of every 400, and once not at all for 4 s."""
    with Stage(driver, seed, kind) as stage:
        playing = stations(EIGHT, seed)
        names = on_air(stage, playing, speed / 2)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                stage.broker.freeze()
                time.sleep(0.34)
                stage.broker.thaw()
                time.sleep(0.06)
            stage.broker.freeze()
            time.sleep(4.0)
        finally:
            stage.broker.thaw()
        since = time.monotonic()
        stage.recover(names, since)
        return verdict(stage, playing)


def rolling(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """SIGTERM and a new worker in its place, one after the other, twice round."""
    with Stage(driver, seed, kind) as stage:
        names = on_air(stage, playing := stations(EIGHT, seed), speed)
        slowest = 0.0
        for _ in range(4):
            stage.wait_joined()
            stage.sleep(0.0, 2.0)
            since = time.monotonic()
            code = stage.workers.kill(stage.workers.alive[0], signal.SIGTERM)
            slowest = max(slowest, time.monotonic() - since)
            assert code == 0, f"a worker asked to stop ended with {code}"
            stage.workers.start()
            stage.recover(names, since)
        return verdict(stage, playing) | {"slowest_stop_s": slowest}
