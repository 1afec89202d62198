"""Work on many files in several processes, with the results in the order of the files."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from queue import SimpleQueue
from typing import Protocol, TypeVar

from airsift.cli.common import Complaints
from airsift.errors import DecodeError

Item = TypeVar("Item")
Result = TypeVar("Result")
Returned = TypeVar("Returned")


class Run(Protocol):
    """Runs a function of a module in a process, and returns its result."""

    def __call__(self, function: Callable[..., Returned], item: object, *rest: object) -> Returned:
        """Return ``function(item, *rest)``; `item` is named if its process dies."""
        ...


def each_in_processes(
    work: Callable[[Item, Run], Result], items: Sequence[Item], jobs: int
) -> Iterator[tuple[Item, Result]]:
    """Work on items; yield each with its result, in their order.

    Parameters
    ----------
    work : callable
        Is called in a thread with an item and a `Run`, which raises DecodeError if the process
        dies. What it raises is raised here.
    items : sequence
        What to work on.
    jobs : int > 0
        Number of processes.
    """
    pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()

    def run(function: Callable[..., Returned], item: object, *rest: object) -> Returned:
        pool = pools.get()
        try:
            for _ in range(2):  # the process may have died before it received this item
                try:
                    return pool.submit(function, item, *rest).result()
                except BrokenProcessPool:
                    pool.shutdown(wait=False)
                    pool = _one_process()
        finally:
            pools.put(pool)
        raise DecodeError(
            f"{item}: the process that read it died (the file breaks its decoder, or there "
            "is too little memory for it); convert it, or leave it out"
        )

    with _child_environment():
        # A pool of one process for each thread: an item that kills its process fails alone.
        for _ in range(jobs):
            pools.put(_one_process())
        threads = ThreadPoolExecutor(jobs)
        left, waiting = iter(items), deque[tuple[Item, Future[Result]]]()
        is_left = True
        try:
            while True:
                while is_left and len(waiting) < 2 * jobs:
                    for item in left:
                        waiting.append((item, threads.submit(work, item, run)))
                        break
                    else:
                        is_left = False
                if not waiting:
                    return
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            while not pools.empty():
                pools.get().shutdown(wait=False)


def _one_process() -> ProcessPoolExecutor:
    # Not forked: a child would inherit the lock and the database of the catalogue.
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_start_process)


def _start_process() -> None:
    """Prepare a reading process: it ends with its parent, not by Ctrl-C."""
    logging.lastResort = Complaints(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _child_environment() -> Iterator[None]:
    """Set the environment of processes that are started in the block."""
    before = dict(os.environ)
    # One thread per process: more would compete for the same processors.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    # They receive this process's `sys.path`, but import before that.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.pop("PYTHONPATH", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
