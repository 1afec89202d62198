"""Doing something for many items at once, where most of the time is waiting for others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def at_once(
    function: Callable[[_Item], _Result], items: Sequence[_Item], threads: int
) -> Iterator[_Result]:
    """Yield what a function returns for each item, in their order.

    The threads end with the process: unlike those of a ``ThreadPoolExecutor``, none of them holds
    up Ctrl-C, or an error, while it waits for a server that does not answer.

    Parameters
    ----------
    function : callable
        May wait; what it raises is raised here, in the place of its item.
    items : sequence
        What it is given.
    threads : int > 0
        Items at once.
    """
    waiting: SimpleQueue[tuple[_Item, Future[_Result]]] = SimpleQueue()
    futures: list[Future[_Result]] = []
    for item in items:
        futures.append(Future())
        waiting.put((item, futures[-1]))

    def work() -> None:
        while True:
            try:
                item, future = waiting.get_nowait()
            except Empty:
                return
            try:
                future.set_result(function(item))
            except BaseException as error:
                future.set_exception(error)

    for number in range(min(threads, len(futures))):
        threading.Thread(target=work, name=f"at once {number}", daemon=True).start()
    for future in futures:
        yield future.result()
