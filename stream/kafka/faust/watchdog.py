"""Ends a worker that has stopped reading while there is something to read.

Faust can stall without an error: a fetcher that is never resumed after a rebalance, a join that
does not end. A supervisor (systemd, Kubernetes, compose) starts the worker again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from stream.lines import one_line
from stream.sinks.terminal import give_back

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODE = 75  # "try again", in the words of sysexits.h


class Watchdog:
    """Calls `end` with one line when nothing was processed for too long although messages wait.

    Parameters
    ----------
    stall_s : float > 0
        Seconds without `progress`.
    work : callable
        Returns what waits, in words, or "" for nothing. It runs in the watchdog's thread, because
        the worker's may be stuck.
    end : callable
        Called with the reason.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        stall_s: float,
        work: Callable[[], str],
        end: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_s = stall_s
        self._work = work
        self._end = end or end_process
        self._now = now
        self._last = now()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.progress()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def progress(self) -> None:
        """Note that something was processed."""
        self._last = self._now()

    def check(self) -> None:
        """Check once whether the worker has stalled."""
        before = self._last
        if self._now() - before < self._stall_s:
            return
        waiting = self._work()
        if self._stopped.is_set() or self._last != before:
            return
        if waiting:
            self._end(
                f"no message was processed for kafka.stall_s={self._stall_s:g}, and {waiting}; "
                "the worker ends to be started again"
            )
        self.progress()

    def _watch(self) -> None:
        while not self._stopped.wait(min(self._stall_s / 10, 1.0)):
            self.check()


def end_process(reason: str, code: int = EXIT_CODE) -> None:
    """Print the reason, if there is one, and end this process without waiting for its threads."""
    if reason:
        give_back()
        print(f"airsift: {one_line(reason)}", file=sys.stderr, flush=True)
    os._exit(code)
