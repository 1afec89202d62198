"""The worker processes of a scenario."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.kafka.settings import KafkaSettings

DRIVERS = {"run": ["run", "--source", "kafka", "--sink", "kafka"], "worker": ["worker"]}
SESSION_S = 6.0


class Workers:
    """Processes of one driver, with a log each.

    Parameters
    ----------
    driver : {"run", "worker"}
        Their command.
    settings : KafkaSettings
        Broker and topics.
    folder : Path
        Folder of the logs.

    Attributes
    ----------
    alive : list of subprocess.Popen
        Workers that were not killed, the oldest first.
    """

    def __init__(self, driver: str, settings: KafkaSettings, folder: Path) -> None:
        self._driver = driver
        self._settings = settings
        self._folder = folder
        self._log_of: dict[int, Path] = {}
        self.alive: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str] = (), **popen: Any) -> subprocess.Popen[bytes]:
        """Start another worker."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")}
        environment = clean | {
            "AIRSIFT_KAFKA__BOOTSTRAP_SERVERS": self._settings.bootstrap_servers,
            "AIRSIFT_KAFKA__TOPICS__PARTITIONS": str(self._settings.topics.partitions),
            "AIRSIFT_KAFKA__TOPICS__REPLICATION": str(self._settings.topics.replication),
            "AIRSIFT_KAFKA__SESSION_TIMEOUT_S": f"{SESSION_S:g}",
            "AIRSIFT_RUN__CHECKPOINT_S": "0.5",
            "OMP_NUM_THREADS": "1",
        }
        log = self._folder / f"worker{len(list(self._folder.glob('worker*')))}.log"
        with log.open("wb") as file:
            options: dict[str, Any] = {"stdout": file, "stderr": file} | popen
            worker = subprocess.Popen(
                [sys.executable, "-m", "airsift", *(command or DRIVERS[self._driver])],
                env=environment,
                **options,
            )
        self.alive.append(worker)
        self._log_of[worker.pid] = log
        return worker

    def kill(self, worker: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> int:
        """Send a terminating signal to a worker, wait, and return its exit code."""
        self.alive.remove(worker)
        worker.send_signal(number)
        try:
            return worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
            raise

    def restart_dead(self) -> int:
        """Restart workers that have exited; return their number."""
        dead = [worker for worker in self.alive if worker.poll() is not None]
        for worker in dead:
            self.alive.remove(worker)
            self.start()
        return len(dead)

    def joined(self) -> bool:
        """Return whether every worker has partitions."""
        logs = [self._log_of[worker.pid].read_text() for worker in self.alive]
        return all("partitions of" in log or "begins with" in log for log in logs)

    def logs(self) -> str:
        """Return the last part of the last logs."""
        last = sorted(self._folder.glob("worker*.log"), key=lambda p: int(p.stem[6:]))[-4:]
        return "\n".join(f"{p.stem}: {p.read_text(errors='replace')[-4000:]}" for p in last)

    def end(self) -> None:
        """Kill all workers."""
        for worker in self.alive:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
        self.alive.clear()
