"""Alarms to a program of one's own."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stream.alarms.delivery import DeliveryError, Target
from stream.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.events import Alarm

_MAX_SHOWN = 200
_PIECE = 4096  # bytes that are read at once, and the end of what is said that is remembered
_PIPE_PIECES = 16  # that a pipe of Linux holds
_LOOK_S = 0.05  # between two looks whether the process has ended
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Command(Target):
    """Runs a program for each alarm that opens, escalates or closes.

    The event is on its standard input as a line of JSON. No shell is involved, and nothing of the
    event is among the arguments, so no name of a station is ever run. A program that takes longer
    than `timeout_s` is killed, with those that it started; one that ends may leave others behind.

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
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"cannot be run: {error.strerror}", is_final=True) from None
        except ValueError as error:  # a NUL in an argument
            raise DeliveryError(f"cannot be run: {error}", is_final=True) from None
        try:
            end = _talk(process, alarm.to_bytes() + b"\n", self._timeout_s)
        finally:
            if process.returncode is None:
                _kill(process)
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()
        if end is None:
            raise DeliveryError(f"took longer than {self._timeout_s:g} s and was killed")
        if process.returncode:
            lines = end.decode("utf-8", "replace").strip().splitlines()
            last = one_line(lines[-1])[:_MAX_SHOWN] if lines else "without a word"
            raise DeliveryError(f"exit code {process.returncode}: {last}")


def _talk(process: subprocess.Popen[bytes], data: bytes, timeout_s: float) -> bytes | None:
    """Give a process its input, and return the last that it says on standard error.

    It is over when the process ends: a program that it has left behind may hold its pipes open, and
    may write to them for ever. None if the time is over before.
    """
    assert process.stdin is not None
    assert process.stderr is not None
    deadline = time.monotonic() + timeout_s
    said = b""
    with selectors.DefaultSelector() as pipes:
        for pipe, wanted in ((process.stdin, _WRITE), (process.stderr, _READ)):
            os.set_blocking(pipe.fileno(), False)
            pipes.register(pipe, wanted)
        while process.poll() is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            if not pipes.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(left_s)
                continue
            for key, _ in pipes.select(min(left_s, _LOOK_S)):
                if key.fileobj is process.stderr:
                    piece = os.read(key.fd, _PIECE)
                    said = (said + piece)[-_PIECE:]
                    if not piece:
                        pipes.unregister(process.stderr)
                    continue
                try:
                    data = data[os.write(key.fd, data) :]
                except BrokenPipeError:  # it does not read
                    data = b""
                if not data:
                    pipes.unregister(process.stdin)
                    process.stdin.close()
    # What a pipe holds at most was written before the end.
    for _ in range(_PIPE_PIECES):
        try:
            piece = os.read(process.stderr.fileno(), _PIECE)
        except BlockingIOError:
            break
        said = (said + piece)[-_PIECE:]
        if not piece:
            break
    return said


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group, and leave none behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
