"""What z counts: the wrong lags, and how the pieces of a query add up."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.peaks import extract
from fingerprint.matching.matcher import cut
from fingerprint.matching.verification import (
    _BLOCK,
    NEAR,
    QueryMap,
    Verification,
    _in_blocks,
    combined_z,
)
from fingerprint.matching.warp import NO_WARP
from fingerprint.settings import N_BINS
from tests.fingerprint.music import compose

LAGS = 200


def shown(z, wrong):
    return Verification(0, z, wrong.astype(np.float32), 0, 600, 0.0)


def noise(seed=0):
    """Return sums at wrong lags, symmetric around 0, with a deviation of 1."""
    half = np.random.default_rng(seed).standard_normal(LAGS // 2)
    both = np.concatenate([half, -half])
    return both / both.std()


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_pieces_that_have_nothing_in_common_add_up_as_noise_does(pieces):
    rng = np.random.default_rng(0)
    wrong = np.linalg.qr(rng.standard_normal((LAGS, pieces + 1)))[0].T * np.sqrt(LAGS)
    run = [shown(4.0, row - row.mean()) for row in wrong[:pieces]]
    assert combined_z(run) == pytest.approx(4.0 * np.sqrt(pieces), rel=0.1)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_pieces_in_which_the_same_wrong_lags_gain_add_nothing(pieces):
    assert combined_z([shown(4.0, noise())] * pieces) == pytest.approx(4.0, rel=1e-5)


def test_pieces_that_contradict_each_other_are_not_worth_more_than_noise():
    wrong = noise()
    assert combined_z([shown(4.0, wrong), shown(4.0, -wrong)]) == pytest.approx(4.0 * np.sqrt(2))


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_a_few_wrong_lags_upon_the_beat_count_more_than_the_many_beside_it(share):
    beat = np.zeros(LAGS)
    beat[: int(share * LAGS)] = 1
    beat = (beat - beat.mean()) / beat.std()
    assert combined_z([shown(6.0, beat)] * 3) < 0.8 * combined_z([shown(6.0, noise())] * 3)


@pytest.fixture(scope="module")
def query():
    (piece,) = cut(extract(compose(1, 6.0)))
    return QueryMap(piece, NO_WARP)


def at_lags(query, frame, bin_):
    """The weights of peaks at all lags that are compared: near ones, and wrong ones."""
    in_one_block = np.ones((1, len(frame)), np.bool_)
    return np.concatenate(query.at_lags(frame, bin_, in_one_block), axis=2)[0]


def lag_0(query, frame, bin_):
    return at_lags(query, frame, bin_)[:, NEAR]


def test_a_peak_at_a_lag_has_the_weight_of_a_peak_that_much_earlier(query):
    rng = np.random.default_rng(0)
    frame, bin_ = rng.integers(0, query.frames, 500), rng.integers(0, N_BINS, 500)
    weights = at_lags(query, frame, bin_).T
    lags = [*range(NEAR, -NEAR - 1, -1), *(NEAR - at for at in query.wrong_lags)]
    assert len(weights) == len(lags)
    for weight, lag in zip(weights, lags, strict=True):
        np.testing.assert_array_equal(weight, lag_0(query, (frame - lag) % query.frames, bin_))
    np.testing.assert_array_equal(lag_0(query, frame, bin_) > 0, query.hits(frame, bin_))


def test_where_a_block_has_no_peak_all_weights_are_0(query):
    frame, bin_ = np.arange(5) * 20, np.arange(5) * 9
    is_peak = np.array([[True, True, True], [True, False, False], [True, False, False]])
    whole = at_lags(query, frame, bin_)
    for weights, part in zip(
        query.at_lags(frame, bin_, is_peak),
        (whole[:, : 2 * NEAR + 1], whole[:, 2 * NEAR + 1 :]),
        strict=True,
    ):
        np.testing.assert_array_equal(weights[is_peak], part)
        assert not weights[~is_peak].any()


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=60))
def test_blocks_hold_their_peaks_in_order_of_time(frames):
    frame = np.sort(np.array(frames))
    is_peak = _in_blocks(frame)
    blocks = [list(group) for _, group in groupby(frame.tolist(), lambda each: each // _BLOCK)]
    assert is_peak.shape == (len(blocks), max(map(len, blocks)))
    laid = np.full(is_peak.shape, -1)
    laid[is_peak] = frame
    for row, block in zip(laid, blocks, strict=True):
        assert row.tolist() == block + [-1] * (len(row) - len(block))


def test_no_wrong_lag_is_near_and_chance_is_what_all_lags_have(query):
    lags = NEAR - np.array(query.wrong_lags)
    assert np.minimum(-lags % query.frames, lags % query.frames).min() >= 2 * NEAR
    bins = np.arange(N_BINS)
    weight = np.stack([lag_0(query, bins * 0 + at, bins) for at in range(query.frames)], axis=1)
    np.testing.assert_allclose(query.chance(bins), (weight > 0).mean(axis=1))
    np.testing.assert_allclose(query.expected(bins), weight.mean(axis=1), rtol=1e-4)
