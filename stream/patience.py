"""A bound on how long a process takes to end once it was asked to."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.drive import Stop

STOP_S = 4.0  # 5 s are promised, also of a busy machine
_LOOK_S = 0.1
_asked = threading.Event()  # set once a block of `ending_within` has ended as it was asked to


@contextmanager
def ending_within(
    stop: Stop, limit_s: float = STOP_S, end: Callable[[str], None] | None = None
) -> Iterator[None]:
    """End the process by force if the block still runs `limit_s` after `stop` was requested.

    A broker that has gone can hold up a flush for `kafka.delivery_timeout_s`, and supervisors
    kill after 10 s. Nothing is lost: what was not settled is heard again.

    Parameters
    ----------
    stop : Stop
        Whether the process was asked to end.
    limit_s : float > 0
        Seconds it has from then on.
    end : callable
        Is given the reason; without one the process ends with it and exit code 1.
    """
    done = threading.Event()
    # Not a timer that the signal's handler starts: it may interrupt what holds threading's locks.
    arguments = (stop, done, limit_s, end or _end)
    threading.Thread(target=_watch, args=arguments, name="patience", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        if stop.requested:
            _asked.set()


def leave(code: int) -> None:
    """End the process at once, if it was asked to end and has: otherwise do nothing.

    All is flushed and closed then. To take the interpreter and torch apart, which gives nothing
    back that the system would not, took 4 s on a busy machine.
    """
    if _asked.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # whoever read it may have gone
                stream.flush()
        os._exit(code)


def _watch(stop: Stop, done: threading.Event, limit_s: float, end: Callable[[str], None]) -> None:
    while not stop.requested:
        if done.wait(_LOOK_S):
            return
    if not done.wait(limit_s):
        end(
            f"did not end within {limit_s:g} s of being asked to: a broker does not answer or is "
            "slow, or it was still starting; what was heard since the last checkpoint is heard "
            "again"
        )


def _end(reason: str) -> None:
    print(f"airsift: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
