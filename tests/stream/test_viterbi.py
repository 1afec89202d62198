from __future__ import annotations

import itertools
import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from stream.stages.viterbi import DROPPED, N_STATES, Costs, Search
from tests.examples import examples

COSTS = Costs(change=8, margin=4, shortest=3, lag=9)

cells = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=60)


def run(evidence, costs=COSTS, start=0):
    """Return the changes, the cell before which each was final, and the search."""
    search = Search(start, start)
    changes, known = [], []
    for speech, music in evidence:
        final = search.push(speech, music, costs)
        changes += final
        known += [search.cell] * len(final)
    return changes, known, search


def gain(evidence, path, first):
    """Return the evidence of labels, less the cost of their changes."""
    total, label, pending = 0, first, dict(path)
    for cell, (speech, music) in enumerate(evidence):
        label = pending.get(cell, label)
        total += speech * (label & 1) + music * (label >> 1)
    return total - COSTS.change * len(path)


def every_path(n, start, label):
    """Yield every sequence of changes from `start` on that keeps the minimum length."""
    yield ()
    for at in range(start, n - COSTS.shortest + 1):
        for following in range(N_STATES):
            if following != label:
                for rest in every_path(n, at + COSTS.shortest, following):
                    yield ((at, following), *rest)


@examples(60)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=10))
def test_without_a_deadline_the_search_finds_the_best_of_all_sequences(evidence):
    """All sequences that begin with the decided label are tried."""
    patient = Costs(COSTS.change, 10**6, COSTS.shortest, 10**6)
    search = Search(0, 0)
    for speech, music in evidence:
        assert search.push(speech, music, patient) == []
    first = search.begin()
    found = gain(evidence, search.finish(), first)
    paths = every_path(len(evidence), COSTS.shortest, first)
    assert found == max(gain(evidence, path, first) for path in paths)


@given(cells)
def test_changes_are_apart_and_final_in_time(evidence):
    changes, known, search = run(evidence)
    every = [*changes, *search.finish()]
    for (before, one), (after, other) in itertools.pairwise(every):
        assert after - before >= COSTS.shortest
        assert one != other
    assert all(cell - at <= COSTS.lag for (at, _), cell in zip(changes, known, strict=True))
    assert all(at > search.cell - COSTS.lag for at, _ in search.finish())


@given(cells, cells)
def test_later_evidence_never_changes_what_is_final(evidence, more):
    early, *_ = run(evidence)
    late, *_ = run(evidence + more)
    assert late[: len(early)] == early


@given(cells, st.integers(0, 10**6))
def test_a_shift_of_the_evidence_shifts_the_changes(evidence, shift):
    here, *_ = run(evidence)
    there, *_ = run(evidence, start=shift)
    assert there == [(at + shift, label) for at, label in here]


@given(cells, st.integers(0, 60))
def test_a_stored_search_goes_on_as_if_it_had_not_been_stored(evidence, at):
    *_, expected = run(evidence)
    *_, search = run(evidence[:at])
    stored = json.dumps(asdict(search))
    restored = TypeAdapter(Search).validate_json(stored)
    copied = search.copy()
    for other in (restored, copied):
        for speech, music in evidence[at:]:
            other.push(speech, music, COSTS)
        if at < len(evidence):
            assert other == expected
    assert json.dumps(asdict(search)) == stored  # a copy shares nothing with it


def test_a_doubtful_deviation_changes_nothing_and_a_long_one_does():
    speech, music = (1, -1), (-1, 1)
    assert run([speech] * 10 + [music] * 3 + [speech] * 10)[0] == []
    assert run([speech] * 10 + [music] * 10)[0] == [(10, 2)]


def test_more_evidence_for_a_change_makes_it_final_sooner():
    def delay(strength):
        cells = [(strength, -strength)] * 10 + [(-strength, strength)] * 12
        changes, known, _ = run(cells)
        return known[0] - changes[0][0]

    assert delay(5) < delay(1) <= COSTS.lag


class PlainSearch(Search):
    """Compares every label with every other, and leaves nothing out."""

    def _enter(self, changed, at, costs):
        for label, path in enumerate(changed.paths):
            if path and path[0][0] < self.cell - costs.lag:
                changed.scores[label] = DROPPED
        for label, gained in enumerate(self._gained(changed)):
            others = [each for each in range(N_STATES) if each != label]
            before = max(others, key=lambda each: (changed.scores[each], -each))
            score = changed.scores[before] - costs.change + gained
            if score > self.scores[label] and changed.scores[before] > DROPPED // 2:
                self.scores[label] = score
                self.paths[label] = (*changed.paths[before], (at, label))


@examples(200)
@given(cells, st.integers(0, 12))
def test_the_fast_search_is_the_plain_one(evidence, change):
    """Scores, paths and what waits are the same after every cell, with ties among the labels."""
    costs = Costs(change, change // 2, COSTS.shortest, COSTS.lag)
    fast, plain = Search(0, 0), PlainSearch(0, 0)
    for speech, music in evidence:
        assert fast.push(speech, music, costs) == plain.push(speech, music, costs)
        assert asdict(fast) == asdict(plain)
    assert fast.finish() == plain.finish()
