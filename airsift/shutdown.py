"""Deadlines of the end of a process after SIGTERM or SIGINT.

While the process starts, `exit_on_signals` ends it at once. Once the loop runs, `shutdown_deadline`
bounds the time for the last checkpoint and for leaving brokers.

Python runs signal handlers in the main thread, between two instructions. That thread may be in the
name resolver, in FFmpeg or in the network for longer than the deadline, so both functions also read
signals in a thread of their own.
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
STOP_S = 1.7  # the documentation promises 2 s
_LOOK_S = 0.1
_stopped = threading.Event()  # set when a block of `shutdown_deadline` has ended on request


def exit_on_signals() -> None:
    """End this process with exit code 0 on the first signal; call it in the main thread.

    `stream.runner.stop_on_signals` replaces the handlers while an orderly end is needed. A second
    signal then ends the process at once.
    """
    for number in SIGNALS:
        signal.signal(number, _end_now)
    read, write = _pipe()
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # the parent may have blocked them
    threading.Thread(target=_end_on, args=(read,), name="shutdown", daemon=True).start()


@contextmanager
def shutdown_deadline(
    stop: Stop,
    limit_s: float = STOP_S,
    end: Callable[[str], None] | None = None,
    *,
    resumable: bool = True,
) -> Iterator[None]:
    """End the process by force if the block still runs `limit_s` after `stop` was requested.

    A flush to an unreachable broker may take `kafka.delivery_timeout_s`, and supervisors kill after
    10 s. If the source is resumable nothing is lost, because audio since the last checkpoint is
    processed again; the exit code is then 0.

    Parameters
    ----------
    stop : Stop
        The request to end; set here for signals that arrive while the main thread is busy.
    limit_s : float > 0
        Seconds from the request to the end.
    end : callable
        Called with the reason, "" if `stop.is_safe`. By default the reason is printed, and the
        process ends with exit code 0, or 1 if something is lost.
    resumable : bool
        Whether audio since the last checkpoint is read again by the next process.
    """
    done = threading.Event()
    read, write = _pipe()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    # A handler must not start a timer: it may interrupt code that holds threading's locks.
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
            _stopped.set()


def exit_fast(code: int) -> None:
    """Exit without the interpreter's teardown, if the process was stopped by a request.

    Everything is flushed and closed by then. The teardown of Python and torch took 4 s on a busy
    machine.
    """
    if _stopped.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the reader may have gone
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
    if stop.is_safe:
        end("")
        return
    fate = "is processed again" if resumable else "may be missing from the results"
    end(
        f"did not end within {limit_s:g} s of the request: a broker does not answer or is "
        f"slow, or a batch takes longer; what was processed since the last checkpoint {fate}"
    )


def _end_on(read: int) -> None:
    while not _signalled(read, None):
        pass
    os._exit(0)


def _signalled(read: int, timeout_s: float | None) -> bool:
    """Return whether one of `SIGNALS` was read from the wakeup pipe."""
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
