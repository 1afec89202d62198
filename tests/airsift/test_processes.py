"""Work on many items in several processes: its order, and the order of the results."""

from __future__ import annotations

import heapq
import itertools
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.cli.processes import each_in_processes, order_of_work

COSTS = st.lists(st.integers(1, 100), max_size=60)


def time_of(costs: list[int], jobs: int) -> int:
    """Return when processes end that take the next item whenever they are free."""
    free = [0] * jobs
    for cost in costs:
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


@given(costs=COSTS, jobs=st.integers(1, 6))
def test_each_item_is_begun_once_and_the_costliest_of_the_last_first(costs, jobs):
    order = [number for number, _ in order_of_work(costs, jobs, float)]
    assert sorted(order) == list(range(len(costs)))
    head = max(len(costs) - 8 * jobs, 0)
    assert order[:head] == list(range(head))
    assert all(costs[a] >= costs[b] for a, b in pairwise(order[head:]))


@given(costs=COSTS.filter(len), jobs=st.integers(2, 6))
def test_processes_end_within_half_of_the_best_time(costs, jobs):
    costs = costs[: 8 * jobs]
    order = [number for number, _ in order_of_work(costs, jobs, float)]
    best = max(sum(costs) / jobs, max(costs))  # nothing is faster
    if len(costs) > jobs:
        best = max(best, sum(sorted(costs)[-jobs - 1 :][:2]))
    assert time_of([costs[i] for i in order], jobs) <= 1.5 * best + 1e-9


@pytest.mark.process
@given(items=st.lists(st.integers(0, 50), max_size=40), jobs=st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(items, jobs):
    begun = []

    def work(item, _run):
        begun.append(item)
        return 2 * item

    assert list(each_in_processes(work, items, jobs, float)) == [(i, 2 * i) for i in items]
    assert sorted(begun) == sorted(items)


@pytest.mark.process
@given(items=st.lists(st.integers(0, 50), max_size=40), jobs=st.integers(1, 4))
def test_results_come_as_they_are_there(items, jobs):
    results = each_in_processes(lambda item, _: 2 * item, iter(items), jobs, in_order=False)
    assert sorted(results) == sorted((i, 2 * i) for i in items)


@pytest.mark.process
def test_no_process_waits_for_a_long_item():
    long = threading.Event()

    def work(item, _run):
        if item == 0:
            long.wait(60)
        return item

    seen = []
    for item, _ in each_in_processes(work, range(200), 2, in_order=False):
        seen.append(item)
        if len(seen) == 199:
            long.set()
    assert seen[-1] == 0


@pytest.mark.process
def test_what_is_not_there_is_left_when_it_is_stopped():
    forever = threading.Event()
    try:
        results = each_in_processes(
            lambda item, _: forever.wait(60) if item == 3 else item,
            itertools.count(),
            2,
            stopped=lambda: True,
        )
        assert len(list(results)) <= 3
    finally:
        forever.set()


@pytest.mark.process
def test_few_results_wait():
    begun = []
    results = each_in_processes(lambda item, _: begun.append(item), range(100), 2, float)
    for done, _ in enumerate(results, 1):
        assert len(begun) <= done + 8 * 2 + 2 * 2
