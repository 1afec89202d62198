import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fingerprint import settings
from fingerprint.analysis import hashes
from fingerprint.analysis.peaks import extract

BINS = st.integers(0, 2**hashes.BIN_BITS - 1)
STEPS = st.integers(-hashes.MAX_STEP, hashes.MAX_STEP)
FRAMES = st.integers(0, hashes.MAX_FRAMES)


@given(st.lists(st.tuples(BINS, STEPS, FRAMES), min_size=1))
def test_unpack_is_the_inverse_of_pack(values):
    given_ = [np.array(column) for column in zip(*values, strict=True)]
    for before, after in zip(given_, hashes.unpack(hashes.pack(*given_)), strict=True):
        assert np.array_equal(before, after)


@given(arrays(np.uint32, st.integers(1, 20), elements=st.integers(0, 2**21 - 2**14 - 1)))
def test_pack_is_the_inverse_of_unpack(keys):
    assert np.array_equal(hashes.pack(*hashes.unpack(keys)), keys)


def test_every_bin_of_the_grid_has_room():
    assert settings.N_BINS <= 2**hashes.BIN_BITS


def test_pairs_reach_forward_and_not_too_far(compose):
    keys, frames = hashes.stored_keys(*hashes.quantised(extract(compose(1, 20.0))))
    _, step, apart = hashes.unpack(keys)
    assert len(keys) == len(frames) > 1000
    assert apart.min() >= hashes.MIN_FRAMES
    assert apart.max() <= hashes.MAX_FRAMES
    assert np.abs(step).max() <= hashes.MAX_STEP


def test_a_query_of_the_same_audio_holds_the_stored_pairs(compose):
    landmarks = extract(compose(2, 20.0))
    stored, _ = hashes.stored_keys(*hashes.quantised(landmarks))
    query = hashes.query_pairs(landmarks, settings.STORED_RANK, settings.FAN_OUT_STORED)
    low, high = np.rint(query.bin), np.rint(query.other)
    keys = hashes.pack(
        low.astype(np.int64), (high - low).astype(np.int64), np.rint(query.frames).astype(np.int64)
    )
    # Rounding of fine times may move a pair by a frame; most are found as they are.
    assert np.isin(stored, keys).mean() > 0.5


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 207)), max_size=40).map(sorted),
    st.integers(1, 6),
)
def test_each_peak_goes_with_the_next_within_reach(peaks, fan_out):
    time, bin_ = (np.array([peak[axis] for peak in peaks], np.int64) for axis in (0, 1))
    expected = set()
    for anchor in range(len(peaks)):
        others = [
            other
            for other in range(anchor + 1, len(peaks))
            if hashes.MIN_FRAMES <= time[other] - time[anchor] < hashes.MAX_FRAMES
            and abs(bin_[other] - bin_[anchor]) < hashes.MAX_STEP
        ]
        expected |= {(anchor, other) for other in others[:fan_out]}
    anchors, others = hashes.pair(time, bin_, fan_out)
    assert len(anchors) == len(expected)
    assert set(zip(anchors.tolist(), others.tolist(), strict=True)) == expected
