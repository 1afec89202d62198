"""The scenarios with failing workers, a full disk or a slow broker."""

from __future__ import annotations

import resource
import signal
import subprocess
import time

from bench.chaos.stations import stations
from bench.chaos.testbed import N_STATIONS, Testbed, finish, plan, start_stations


def kill(driver: str, seed: int, kind: str, speed: float, kills: int = 20) -> dict[str, float]:
    """Kill -9 one of two workers repeatedly; a supervisor starts another at once."""
    with Testbed(driver, seed, kind) as testbed:
        names = start_stations(testbed, playing := stations(N_STATIONS, seed), speed)
        for _ in range(kills):
            testbed.wait_joined()
            testbed.sleep(0.0, 4.0)
            since = time.monotonic()
            testbed.workers.kill(testbed.random.choice(testbed.workers.alive))
            testbed.workers.start()
            testbed.recover(names, since)
        return finish(testbed, playing)


def freeze(driver: str, seed: int, kind: str, speed: float, rounds: int = 3) -> dict[str, float]:
    """SIGSTOP a worker until others have its stations, then SIGCONT."""
    with Testbed(driver, seed, kind) as testbed:
        names = start_stations(testbed, playing := stations(N_STATIONS, seed), speed)
        for _ in range(rounds):
            testbed.sleep(0.0, 3.0)
            worker = testbed.random.choice(testbed.workers.alive)
            since = time.monotonic()
            worker.send_signal(signal.SIGSTOP)
            testbed.recover(names, since)
            testbed.sleep(0.5, 4.0)
            worker.send_signal(signal.SIGCONT)
            testbed.sleep(2.0, 5.0)
            testbed.workers.restart_dead()
            testbed.wait_processed(names, max(testbed.subscriber.processed.values()) + 3.0)
        return finish(testbed, playing)


def disk(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """`run`: the disk of a JSON Lines sink is full for 5 s. `worker`: no file can be written."""
    with Testbed(driver, seed, kind) as testbed:
        playing = stations(N_STATIONS, seed)
        if driver == "worker":
            # A file system's limit for the process: the system refuses any byte of a file.
            testbed.workers.start(
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            testbed.play(plan(playing), seconds_each=0.5, speed=speed)
            testbed.wait_processed([s.name for s in playing], 60.0)
            testbed.faults += 1
            return finish(testbed, playing)
        path = testbed.folder / "events.jsonl"
        command = ["run", "--source", "kafka", "--sink", f"jsonl:{path}", "--sink", "kafka"]
        limit = 150_000
        worker = testbed.workers.start(
            command,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
            ),
        )
        testbed.play(plan(playing), seconds_each=0.5, speed=speed)
        testbed.wait(lambda: path.exists() and path.stat().st_size > limit - 20_000, "full")
        time.sleep(5.0)
        assert worker.poll() is None, "the worker ended on a full disk"
        since = time.monotonic()
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, unlimited)
        names = [s.name for s in playing]
        testbed.recover(names, since)
        testbed.workers.kill(worker)
        testbed.workers.start(command)
        testbed.wait_processed(names, max(testbed.subscriber.processed.values()) + 5.0)
        row = finish(testbed, playing)
        lines = path.read_text(encoding="utf-8").splitlines()
        missing = set(testbed.subscriber.lines) - set(lines)
        return row | {"missing_in_file": float(len(missing))}


def slow(
    driver: str, seed: int, kind: str, speed: float, seconds: float = 30.0
) -> dict[str, float]:
    """Freeze the broker for 340 of every 400 ms, and once for 4 s."""
    with Testbed(driver, seed, kind) as testbed:
        playing = stations(N_STATIONS, seed)
        names = start_stations(testbed, playing, speed / 2)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                testbed.broker.freeze()
                time.sleep(0.34)
                testbed.broker.thaw()
                time.sleep(0.06)
            testbed.broker.freeze()
            time.sleep(4.0)
        finally:
            testbed.broker.thaw()
        since = time.monotonic()
        testbed.recover(names, since)
        return finish(testbed, playing)


def rolling(driver: str, seed: int, kind: str, speed: float) -> dict[str, float]:
    """SIGTERM and a new worker in its place, one after the other, twice round."""
    with Testbed(driver, seed, kind) as testbed:
        names = start_stations(testbed, playing := stations(N_STATIONS, seed), speed)
        slowest = 0.0
        for _ in range(4):
            testbed.wait_joined()
            testbed.sleep(0.0, 2.0)
            since = time.monotonic()
            code = testbed.workers.kill(testbed.workers.alive[0], signal.SIGTERM)
            slowest = max(slowest, time.monotonic() - since)
            assert code == 0, f"a worker ended with {code} after SIGTERM"
            testbed.workers.start()
            testbed.recover(names, since)
        return finish(testbed, playing) | {"slowest_stop_s": slowest}
