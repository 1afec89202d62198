"""How soon a process ends once SIGTERM or SIGINT has asked it to.

While it starts, `end_at_once_on_signals` ends it on the spot: nothing has begun. Once it works,
`ending_within` bounds the time that its last checkpoint and its farewells to brokers may take.

Python runs a signal's handler in the main thread, between two of its instructions. That thread may
be in the system's name resolver, in FFmpeg or in the network for longer than a stop may take, so
both also read the signals in a thread of their own.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from stream.lines import one_line
from stream.sinks.terminal import give_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream.runner import Stop

SIGNALS = (int(signal.SIGINT), int(signal.SIGTERM))
STOP_S = 1.7  # 2 s are promised
_LOOK_S = 0.1
_asked = threading.Event()  # set once a block of `ending_within` has ended as it was asked to


def end_at_once_on_signals() -> None:
    """End this process with exit code 0 as soon as it is asked to; call it in the main thread.

    `stream.runner.stop_on_signals` takes the signals over once there is something to end in order,
    and gives them back afterwards: a second signal ends the process at once.
    """
    for number in SIGNALS:
        signal.signal(number, _end_now)
    read, write = _pipe()
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # whoever started us may have blocked them
    threading.Thread(target=_end_on, args=(read,), name="shutdown", daemon=True).start()


@contextmanager
def ending_within(
    stop: Stop,
    limit_s: float = STOP_S,
    end: Callable[[str], None] | None = None,
    *,
    resumable: bool = True,
) -> Iterator[None]:
    """End the process by force if the block still runs `limit_s` after `stop` was requested.

    A broker that has gone can hold up a flush for `kafka.delivery_timeout_s`, and supervisors
    kill after 10 s. Where the source is resumable nothing is lost, because what was not settled
    is processed again: that is no failure, so the exit code is 0.

    Parameters
    ----------
    stop : Stop
        Whether the process was asked to end; it is told of signals that come while the main
        thread is busy.
    limit_s : float > 0
        Seconds it has from then on.
    end : callable
        Is given the reason, "" once `stop` is settled; without one the process ends, after printing
        the reason if there is one, with exit code 0, or 1 where something is lost.
    resumable : bool
        Whether what was not settled comes again.
    """
    done = threading.Event()
    read, write = _pipe()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # Not a timer that the signal's handler starts: it may interrupt what holds threading's locks.
    arguments = (stop, read, done, limit_s)
    end = end or partial(_end, code=0 if resumable else 1)
    late = partial(_late, stop, limit_s, resumable, end)
    thread = threading.Thread(target=_watch, args=(*arguments, late), name="shutdown", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)
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


def _watch(
    stop: Stop, read: int, done: threading.Event, limit_s: float, late: Callable[[], None]
) -> None:
    try:
        while not stop.requested and not done.is_set():
            if _signalled(read, _LOOK_S):
                stop.request()
    finally:
        os.close(read)
    if not done.wait(limit_s):
        late()


def _late(stop: Stop, limit_s: float, resumable: bool, end: Callable[[str], None]) -> None:
    if stop.settled:
        end("")
        return
    fate = "is processed again" if resumable else "may be missing from the results"
    end(
        f"did not end within {limit_s:g} s of being asked to: a broker does not answer or is "
        f"slow, or a batch takes longer; what was processed since the last checkpoint {fate}"
    )


def _end_on(read: int) -> None:
    while not _signalled(read, None):
        pass
    os._exit(0)


def _signalled(read: int, timeout_s: float | None) -> bool:
    """Say whether one of `SIGNALS` was read from a pipe that the system writes signals to."""
    ready, _, _ = select.select([read], [], [], timeout_s)
    return bool(ready) and any(number in SIGNALS for number in os.read(read, 64))


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(write, False)
    return read, write


def _end_now(*_: object) -> None:
    os._exit(0)


def _end(reason: str, code: int = 0) -> None:
    if reason:
        give_back()
        print(f"airsift: {one_line(reason)}", file=sys.stderr, flush=True)
    os._exit(code)
