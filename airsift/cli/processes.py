"""Work on many files in several processes, with the results in the order of the files."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

from airsift.batch.child import start_process
from airsift.cli.common import verbosity
from airsift.errors import DecodeError

Item = TypeVar("Item")
Result = TypeVar("Result")
Returned = TypeVar("Returned")

_started: list[ProcessPoolExecutor] = []  # for the next call
_others: list[BaseProcess] = []  # children that were there before those
_SORTED = 8  # items per process, at the end of a list, that are sorted by cost
_LOOK_S = 0.1  # between two looks at whether to stop
_END_S = 2.0  # a process that was ended has ended


class Run(Protocol):
    """Runs a function of a module in a process, and returns its result."""

    def __call__(self, function: Callable[..., Returned], item: object, *rest: object) -> Returned:
        """Return ``function(item, *rest)``; `item` is named if its process dies."""
        ...


def each_in_processes(
    work: Callable[[Item, Run], Result],
    items: Iterable[Item],
    jobs: int,
    cost: Callable[[Item], float] | None = None,
    *,
    in_order: bool = True,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Item, Result]]:
    """Work on items; yield each with its result.

    A bounded number of items is taken from `items` before the results of those before them are
    yielded, so they may be a generator of any length.

    Parameters
    ----------
    work : callable
        Is called in a thread with an item and a `Run`, which raises DecodeError if the process
        dies. What it raises is raised here.
    items : iterable
        What to work on.
    jobs : int > 0
        Number of processes.
    cost : callable, optional
        Estimates the work on an item, in any unit. The last items are then begun in the order of
        their cost, so that the processes end at about the same time.
    in_order : bool
        Whether results are yielded in the order of the items; else each as soon as it is there, and
        no process waits for a long item.
    stopped : callable
        Is asked now and then whether to end without what is not there yet.
    """
    pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
    is_over = threading.Event()
    others = [*_others] if _started else active_children()

    def run(function: Callable[..., Returned], item: object, *rest: object) -> Returned:
        pool = pools.get()
        try:
            for _ in range(2):  # the process may have died before it received this item
                if is_over.is_set():
                    break
                try:
                    return pool.submit(function, item, *rest).result()
                except BrokenProcessPool:
                    if not is_over.is_set():
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
            pools.put(_started.pop() if _started else _one_process())
        threads = ThreadPoolExecutor(jobs)
        order = order_of_work(items, jobs, cost)
        waiting: dict[int, tuple[Item, Future[Result]]] = {}  # begun, and not yielded
        running: set[Future[Result]] = set()
        following, is_all = 0, False  # the number of the next item in their order
        try:
            while True:
                # Each process has an item, and the next one: it never waits for this thread. In
                # order, as many results may wait for one before them as are sorted by cost.
                while not is_all and len(running) < 2 * jobs and len(waiting) < _SORTED * jobs:
                    if (begun := next(order, None)) is None:
                        is_all = True
                        break
                    number, item = begun
                    future = threads.submit(work, item, run)
                    waiting[number] = item, future
                    running.add(future)
                ready = [number for number, (_, future) in waiting.items() if future.done()]
                if in_order:
                    ready = [following] if following in ready else []
                for number in ready:
                    item, future = waiting.pop(number)
                    following += 1
                    yield item, future.result()
                if is_all and not waiting:
                    return
                if not ready:
                    _, running = wait(running, _LOOK_S, FIRST_COMPLETED)
                running = {future for future in running if not future.done()}
                if stopped():
                    return
        finally:
            # They have nothing to do, or nobody wants what they do. Ended by themselves, they would
            # first take all apart that they have loaded.
            is_over.set()
            for process in active_children():
                if process not in others:
                    process.terminate()
            threads.shutdown(wait=False, cancel_futures=True)
            for _ in range(jobs):
                with suppress(Empty):
                    # Once its process has ended, it gives back what would be reported as leaked.
                    pools.get(timeout=_END_S).shutdown(wait=True)


def start_processes(jobs: int, prepare: Callable[[], object]) -> None:
    """Start the processes of the next `each_in_processes`, while this one does something else.

    Parameters
    ----------
    jobs : int > 0
        Number of processes.
    prepare : callable
        A function of a module, which each of them calls.
    """
    _others[:] = active_children()
    with _child_environment():
        for _ in range(jobs):
            _started.append(_one_process())
            _started[-1].submit(prepare)


def order_of_work(
    items: Iterable[Item], jobs: int, cost: Callable[[Item], float] | None
) -> Iterator[tuple[int, Item]]:
    """Yield items with their numbers, in the order in which work on them begins.

    Only the last ones are sorted, the costliest first: results of all items would wait for the
    first item otherwise, if it is the cheapest. So many are taken before the first one is yielded.
    """
    ahead: deque[tuple[int, Item]] = deque()
    for numbered in enumerate(items):
        ahead.append(numbered)
        if len(ahead) > _SORTED * jobs:
            yield ahead.popleft()
    yield from sorted(ahead, key=lambda each: -cost(each[1])) if cost is not None else ahead


def _one_process() -> ProcessPoolExecutor:
    # Not forked: a child would inherit the lock and the database of the catalogue.
    return ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        initializer=start_process,
        initargs=(verbosity.quiet, verbosity.verbose),
    )


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
