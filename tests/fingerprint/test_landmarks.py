from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from tests.examples import examples
from tests.fingerprint.music import compose


@st.composite
def landmarks(draw, start=0):
    times = sorted(draw(st.lists(st.integers(0, 9_999), max_size=20)))
    n = len(times)
    return Landmarks(
        np.array(times, np.int64),
        np.arange(n, dtype=np.float32),
        np.zeros(n, np.int16),
        start,
        start + 10_000,
    )


@given(landmarks(), st.integers(-(10**9), 10**9))
def test_shifting_there_and_back_changes_nothing(some, samples):
    back = some.shift(samples).shift(-samples)
    assert np.array_equal(back.time, some.time)
    assert (back.start, back.end) == (some.start, some.end)


@pytest.mark.slow
@given(landmarks(), st.lists(st.integers(0, 10_000), max_size=4))
def test_pieces_join_to_the_whole(some, cuts):
    edges = [0, *sorted(cuts), 10_000]
    pieces = [some.between(a, b) for a, b in pairwise(edges)]
    whole = Landmarks.join(pieces)
    assert np.array_equal(whole.time, some.time)
    assert np.array_equal(whole.bin, some.bin)
    assert (whole.start, whole.end) == (0, 10_000)


def test_where_parts_overlap_nothing_is_counted_twice():
    music = compose(1, 20.0)
    whole = extract(music)
    first, second = whole.between(0, 200_000), whole.between(150_000, 320_000)
    assert np.array_equal(Landmarks.join([second, first]).time, whole.between(0, 320_000).time)


def same(a, b):
    return (
        np.array_equal(a.time, b.time)
        and np.array_equal(a.bin, b.bin)
        and np.array_equal(a.rank, b.rank)
        and (a.start, a.end) == (b.start, b.end)
    )


@given(landmarks(), st.integers(-(10**9), 10**12))
def test_unpacking_what_was_packed_gives_it_back(some, samples):
    moved = some.shift(samples)
    assert same(Landmarks.unpack(moved.pack()), moved)


def test_music_packs_into_little():
    music = extract(compose(1, 30.0)).shift(1_000_000_007 * 16)
    assert same(Landmarks.unpack(music.pack()), music)
    assert len(music.pack()) < 5 * len(music)


def test_nothing_joined_is_nothing():
    assert len(Landmarks.join([])) == 0


@examples(20)
@given(landmarks(), st.integers(1, 5))
def test_the_strongest_are_a_selection(some, rank):
    assert len(some.strongest(rank)) <= len(some)
