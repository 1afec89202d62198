"""The rank of a key is its place among the sorted ones."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.hashes import KEYS, NO_KEY
from fingerprint.index.key_ranks import KeyRanks

# Around the edges of words of 64 bits, and both ends.
KEY = st.one_of(st.integers(0, KEYS - 1), st.integers(0, 200), st.just(KEYS - 1))
VALUE = st.one_of(KEY, st.integers(KEYS, 2**32 - 1), st.just(int(NO_KEY)))


@given(st.sets(KEY, min_size=1, max_size=300), st.lists(VALUE, max_size=300))
def test_ranks_are_those_that_a_search_finds(stored, asked):
    keys = np.array(sorted(stored), np.uint32)
    some = np.array([*asked, *stored], np.uint32)
    rank, known = KeyRanks(keys).find(some)
    assert known.tolist() == [int(key) in stored for key in some]
    assert np.array_equal(rank[known], np.searchsorted(keys, some[known]))
    assert np.all((rank >= 0) & (rank < len(keys)))


def test_nothing_asked_is_nothing_found():
    rank, known = KeyRanks(np.array([5], np.uint32)).find(np.empty(0, np.uint32))
    assert len(rank) == len(known) == 0
