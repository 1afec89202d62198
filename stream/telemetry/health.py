"""Readiness and liveness of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from airsift.json_types import JsonObject


class Health:
    """The state behind ``/healthz`` and ``/readyz``.

    Parameters
    ----------
    stall_s : float > 0
        A worker without progress for this long is stalled, also while it starts.
    waits_for : iterable of str
        Parts that must be `done` before the worker is ready.
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
        self._problem: Callable[[], str] = str
        self._edges: Callable[[], Iterable[str]] = tuple
        self._progress_at = now()

    def progress(self) -> None:
        """Record an iteration of the loop."""
        self._progress_at = self._now()

    def done(self, *what: str) -> None:
        """Record that parts the worker waited for are there."""
        self._waits_for.difference_update(what)
        self.progress()

    def bind(
        self, problem: Callable[[], str], waits_for: Callable[[], Iterable[str]] = tuple
    ) -> None:
        """Set the functions that query the edges; they may be called in any thread.

        Parameters
        ----------
        problem : callable
            Returns the problem, or "". A worker with a problem is not ready, but healthy: a
            restart would not bring back a broker.
        waits_for : callable
            Returns missing parts, such as a consumer group that was not joined yet.
        """
        self._problem, self._edges = problem, waits_for

    @property
    def waits_for(self) -> set[str]:
        """Parts that are missing before the worker is ready."""
        return self._waits_for | set(self._edges())

    @property
    def problem(self) -> str:
        """The problem at the edges, in one line; "" if there is none."""
        return self._problem()

    @property
    def age_s(self) -> float:
        """Seconds since the last progress."""
        return self._now() - self._progress_at

    @property
    def healthy(self) -> bool:
        """Whether there was progress within `stall_s`; otherwise a restart may help."""
        return self.age_s <= self._stall_s

    @property
    def ready(self) -> bool:
        """Whether all parts are there and work."""
        return not self.waits_for and self.healthy and not self.problem

    def report(self) -> JsonObject:
        """Return the whole state, as JSON types."""
        return {
            "healthy": self.healthy,
            "ready": self.ready,
            "waits_for": sorted(self.waits_for),
            "trouble": self.problem,
            "seconds_since_progress": round(self.age_s, 3),
            "stall_s": self._stall_s,
        }
