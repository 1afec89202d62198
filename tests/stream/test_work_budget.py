"""The laws of a station's budget, for any queries of any cost at any time."""

from __future__ import annotations

from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream.stages.work_budget import KINDS, Accounts, WorkBudget

RATE = 16_000
budgets = st.builds(
    WorkBudget, per_s=st.integers(1, 10**6), burst=st.integers(1, 10**7), rate=st.just(RATE)
)
# Samples that come before a query, its kind, and what it costs if it may begin.
queries = st.lists(
    st.tuples(st.integers(0, 40 * RATE), st.sampled_from(KINDS), st.integers(0, 10**7)),
    max_size=40,
)


def run(budget, queries, start=0):
    """Return the accounts, and (sample, kind, cost) of every query that was allowed."""
    accounts, at, done = Accounts.full(budget, start), start, []
    for samples, kind, cost in queries:
        at += samples
        accounts.fill(budget, at)
        if accounts.allow(kind):
            accounts.spend(kind, cost)
            done.append((at, kind, cost))
    return accounts, done


@given(budgets, queries, st.integers(0, 10**9))
def test_the_work_of_any_stretch_is_what_its_audio_is_worth_and_a_bounded_burst(
    budget, queries, start
):
    _, done = run(budget, queries, start)
    for first in range(len(done)):
        for end in range(first + 1, len(done) + 1):
            stretch = done[first:end]
            worth = budget.per_s * (stretch[-1][0] - stretch[0][0]) / RATE
            once = sum(max((c for _, k, c in stretch if k == kind), default=0) for kind in KINDS)
            assert sum(c for _, _, c in stretch) <= worth + 1 + len(KINDS) * budget.burst + once


@given(budgets, queries)
def test_no_query_goes_without_for_a_later_kind(budget, queries):
    whole, done = run(budget, queries)
    for last in range(len(KINDS)):
        some = KINDS[: last + 1]
        # A query of a later kind that is left out still marks its moment.
        alone, alone_done = run(budget, [(s, k, c if k in some else 0) for s, k, c in queries])
        assert [whole.left(kind) for kind in some] == [alone.left(kind) for kind in some]
        assert [d for d in done if d[1] in some] == [d for d in alone_done if d[1] in some]


@given(budgets, queries, st.lists(st.integers(0, 10 * RATE), max_size=8))
def test_how_often_accounts_are_filled_changes_nothing(budget, queries, steps):
    often, _ = run(budget, queries)
    once = replace(often)
    for step in steps:
        often.fill(budget, often.at + step)
    once.fill(budget, once.at + sum(steps))
    assert often == once


@given(budgets, queries)
def test_an_account_is_never_fuller_than_full_and_time_never_goes_back(budget, queries):
    accounts, _ = run(budget, queries)
    before = replace(accounts)
    accounts.fill(budget, accounts.at - 1)
    accounts.fill(budget, 0)
    assert accounts == before
    accounts.fill(budget, accounts.at + 10**15)
    assert [accounts.left(kind) for kind in KINDS] == [budget.burst] * 3


@given(budgets, queries, st.data())
def test_a_restart_between_any_two_queries_changes_nothing(budget, queries, data):
    moment = data.draw(st.integers(0, len(queries)))
    whole, done = run(budget, queries)
    accounts, at, later = Accounts.full(budget, 0), 0, []
    for number, (samples, kind, cost) in enumerate(queries):
        if number == moment:
            stored = TypeAdapter(Accounts).dump_json(accounts)
            accounts = TypeAdapter(Accounts).validate_json(stored)
        at += samples
        accounts.fill(budget, at)
        if accounts.allow(kind):
            accounts.spend(kind, cost)
            later.append((at, kind, cost))
    assert (asdict(accounts), later) == (asdict(whole), done)


@given(queries)
def test_what_costs_less_than_its_audio_is_never_left_out(queries):
    """A query of each kind that costs a third of what comes in between, or less."""
    budget = WorkBudget(per_s=300, burst=3000, rate=RATE)
    fair = [(s, k, min(c, 100 * s // RATE, 2999)) for s, k, c in queries if s >= RATE]
    assert len(run(budget, fair)[1]) == len(fair)


def test_a_smaller_budget_after_a_restart_leaves_no_more_than_it_holds():
    accounts = Accounts.full(WorkBudget(1000, 30_000, RATE), 0)
    accounts.fill(WorkBudget(100, 3000, RATE), RATE)
    assert [accounts.left(kind) for kind in KINDS] == [3000] * 3
