"""The fullest places are found without counting the votes of every place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.matching.candidates import _densest


def votes_at(lags, value):
    return sum(abs(lag - value) <= 1 for lag in lags)


@given(
    st.lists(st.integers(-200, 200), max_size=200),
    st.lists(st.tuples(st.integers(-200, 200), st.integers(3, 40)), max_size=5),
)
def test_the_fullest_place_comes_first_with_its_votes(strewn, heaps):
    lags = sorted(strewn + [value for value, count in heaps for _ in range(count)])
    found = _densest(np.array(lags, np.int32), 3, 2)
    for value, first, last in found:
        assert last - first == votes_at(lags, value)
    fullest = max(votes_at(lags, value) for value in range(-201, 202))
    if fullest > 2:
        assert found[0][2] - found[0][1] >= fullest
    else:
        assert found == []


def test_many_votes_everywhere_do_not_hide_a_heap():
    lags = np.repeat(np.arange(0, 40_000, 4), 5)
    lags = np.sort(np.concatenate([lags, np.full(60, 12_345)])).astype(np.int32)
    value, first, last = _densest(lags, 12, 2)[0]
    assert abs(value - 12_345) <= 1
    assert last - first >= 60
