"""Landmarks of audio in pieces are those of the whole, and the audio is not held."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis import track_landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.analysis.track_landmarks import LandmarkExtractor
from tests.examples import examples
from tests.fingerprint.music import compose

RATE = 16_000


def of_pieces(samples, cuts):
    extraction = LandmarkExtractor()
    for a, b in pairwise([0, *sorted(cuts), len(samples)]):
        extraction.push(samples[a:b])
    assert extraction.length == len(samples)
    return extraction.finish()


def same(a, b):
    return (a.start, a.end) == (b.start, b.end) and all(
        np.array_equal(x, y) for x, y in ((a.time, b.time), (a.bin, b.bin), (a.rank, b.rank))
    )


@pytest.mark.slow
@examples(15)
@given(data=st.data(), length=st.integers(0, 30 * RATE), piece=st.integers(80, 900))
def test_pieces_give_the_landmarks_of_the_whole(data, length, piece):
    samples = compose(1, 30.0)[:length]
    cuts = data.draw(st.lists(st.integers(0, length), max_size=10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track_landmarks, "_PIECE", piece * 256)
        assert same(of_pieces(samples, cuts), extract(samples))


def test_samples_that_are_not_finite_are_silence():
    samples = compose(1, 8.0).copy()
    samples[RATE] = np.nan
    samples[2 * RATE] = np.inf
    assert same(of_pieces(samples, [5000]), extract(samples))


@pytest.mark.slow
def test_memory_grows_with_the_landmarks_alone():
    music = compose(2, 10.0)

    def peak(minutes):
        tracemalloc.start()
        extraction = LandmarkExtractor()
        for _ in range(6 * minutes):
            extraction.push(music)
        landmarks = extraction.finish()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, len(landmarks)

    (short, few), (long, many) = peak(4), peak(12)
    # 14 bytes for each landmark, twice while they are joined; 8 minutes of samples are 31 MB.
    assert long - short < 40 * (many - few) + 500_000
    assert long - short < 5_000_000
