"""Whether a worker is ready, and whether it still gets on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any


class Health:
    """What ``/healthz`` and ``/readyz`` say, from what the loop has done.

    Parameters
    ----------
    stall_s : float > 0
        Without progress for so long, a worker counts as stalled: while it starts as well.
    waits_for : iterable of str
        What must be `done` before the worker is ready.
    now : callable
        The clock, in seconds.
    """

    def __init__(
        self,
        stall_s: float,
        waits_for: Iterable[str] = ("source", "model"),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_s = stall_s
        self._now = now
        self._waits_for = set(waits_for)
        self._trouble: Callable[[], str] = str
        self._edges: Callable[[], Iterable[str]] = tuple
        self._progress_at = now()

    def turn(self) -> None:
        """Take note that the loop has come round."""
        self._progress_at = self._now()

    def done(self, *what: str) -> None:
        """Take note that something the worker waited for is there."""
        self._waits_for.difference_update(what)
        self.turn()

    def ask(
        self, trouble: Callable[[], str], waits_for: Callable[[], Iterable[str]] = tuple
    ) -> None:
        """Ask the edges whenever somebody looks; both may be called in any thread.

        Parameters
        ----------
        trouble : callable
            Returns what is wrong, "" if nothing. A worker in trouble is not ready, but healthy: a
            restart would not bring back a broker.
        waits_for : callable
            Returns what is still missing, as a consumer group that was not joined yet.
        """
        self._trouble, self._edges = trouble, waits_for

    @property
    def waits_for(self) -> set[str]:
        """What is missing before the worker is ready."""
        return self._waits_for | set(self._edges())

    @property
    def trouble(self) -> str:
        """What is wrong at the edges, in one line; "" where nothing is."""
        return self._trouble()

    @property
    def age_s(self) -> float:
        """Seconds since the last progress."""
        return self._now() - self._progress_at

    @property
    def healthy(self) -> bool:
        """Whether there was progress in the last `stall_s`. If not, a restart may help."""
        return self.age_s <= self._stall_s

    @property
    def ready(self) -> bool:
        """Whether everything is there, and works."""
        return not self.waits_for and self.healthy and not self.trouble

    def report(self) -> dict[str, Any]:
        """Return what both say, as JSON's types."""
        return {
            "healthy": self.healthy,
            "ready": self.ready,
            "waits_for": sorted(self.waits_for),
            "trouble": self.trouble,
            "seconds_since_progress": round(self.age_s, 3),
            "stall_s": self._stall_s,
        }
