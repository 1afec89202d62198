"""Whether a member of the group can do its work: it has joined, and can fetch what it is given."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Readiness:
    """What a member still waits for.

    A rebalance does not make it unready unless it lasts for longer than a session: each worker
    that comes or goes causes one.

    Parameters
    ----------
    session_timeout_s : float > 0
        The group's.
    now : callable
        The clock, in seconds.

    Attributes
    ----------
    waits_for : frozenset of str
        ``group`` until it has joined, ``partitions`` until each of those it was given was fetched
        from. Safe in any thread.
    """

    def __init__(self, session_timeout_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._session_timeout_s = session_timeout_s
        self._now = now
        self._joined_at: float | None = None
        self.waits_for = frozenset({"group"})

    def look(self, partitions: Iterable[int] | None, end_of: Callable[[int], int | None]) -> None:
        """Take note of how things stand, in every turn of the loop.

        Parameters
        ----------
        partitions : iterable of int, optional
            What the member was given; None while it waits for that.
        end_of : callable
            Returns where a partition ended when it was last fetched from, None before that.
        """
        now = self._now()
        if partitions is not None:
            self._joined_at = now
            fetched = all(end_of(partition) is not None for partition in partitions)
            self.waits_for = frozenset() if fetched else frozenset({"partitions"})
        elif self._joined_at is not None and now - self._joined_at > self._session_timeout_s:
            self.waits_for = frozenset({"group"})
