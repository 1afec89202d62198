"""Work on many files in several processes, with the results in the order of the files."""

from __future__ import annotations

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

from airsift.cli.common import verbosity
from airsift.errors import DecodeError

Item = TypeVar("Item")
Result = TypeVar("Result")
Returned = TypeVar("Returned")

_SORTED = 8  # items per process, at the end of a list, that are sorted by cost


class Run(Protocol):
    """Runs a function of a module in a process, and returns its result."""

    def __call__(self, function: Callable[..., Returned], item: object, *rest: object) -> Returned:
        """Return ``function(item, *rest)``; `item` is named if its process dies."""
        ...


def each_in_processes(
    work: Callable[[Item, Run], Result],
    items: Sequence[Item],
    jobs: int,
    cost: Callable[[Item], float] | None = None,
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
    cost : callable, optional
        Estimates the work on an item, in any unit. The last items are then begun in the order of
        their cost, so that the processes end at about the same time.
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
        order = order_of_work(items, jobs, cost)
        futures: dict[int, Future[Result]] = {}  # of items that were not yielded yet
        try:
            for i in range(len(items)):
                # Results of items that are done early wait here: a bounded number.
                while order and (i not in futures or len(futures) < 2 * jobs):
                    begun = order.popleft()
                    futures[begun] = threads.submit(work, items[begun], run)
                yield items[i], futures.pop(i).result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            while not pools.empty():
                pools.get().shutdown(wait=False)


def order_of_work(
    items: Sequence[Item], jobs: int, cost: Callable[[Item], float] | None
) -> deque[int]:
    """Return the indices of items in the order in which work on them begins.

    Only the last ones are sorted, the costliest first: results of all items would wait for the
    first item otherwise, if it is the cheapest.
    """
    order = list(range(len(items)))
    if cost is not None:
        tail = max(len(order) - _SORTED * jobs, 0)
        order[tail:] = sorted(order[tail:], key=lambda i: -cost(items[i]))
    return deque(order)


def _one_process() -> ProcessPoolExecutor:
    # Not forked: a child would inherit the lock and the database of the catalogue.
    return ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        initializer=_start_process,
        initargs=(verbosity.quiet, verbosity.verbose),
    )


def _start_process(quiet: bool, verbose: bool) -> None:
    """Prepare a reading process: it ends with its parent, not by Ctrl-C."""
    verbosity.set(quiet=quiet, verbose=verbose)
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
