"""Alarms to a program of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from stream.alarms.delivery import DeliveryError, Target
from stream.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.events import Alarm

_MAX_SHOWN = 200


class Command(Target):
    """Runs a program for each alarm that opens, escalates or closes.

    The event is on its standard input as a line of JSON. No shell is involved, and nothing of the
    event is among the arguments, so no name of a station is ever run. A program that takes longer
    than `timeout_s` is killed, with those that it started.

    Parameters
    ----------
    run : sequence of str
        The program and its arguments.
    min_severity : {"warning", "critical"}
        The least that it is run for.
    timeout_s : float > 0
        For one run.
    """

    kind = "command"

    def __init__(self, run: Sequence[str], min_severity: str, timeout_s: float) -> None:
        self.name = f"command {Path(run[0]).name}"
        self.min_severity = min_severity
        self._run, self._timeout_s = list(run), timeout_s

    def send(self, alarm: Alarm) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command
                self._run,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"cannot be run: {error.strerror}", is_final=True) from None
        try:
            _, errors = process.communicate(alarm.to_bytes() + b"\n", self._timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise DeliveryError(f"took longer than {self._timeout_s:g} s and was killed") from None
        if process.returncode:
            lines = errors.decode("utf-8", "replace").strip().splitlines()
            last = one_line(lines[-1])[:_MAX_SHOWN] if lines else "without a word"
            raise DeliveryError(f"exit code {process.returncode}: {last}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group, and leave none behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()
