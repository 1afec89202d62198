"""A live spectrum is that of the whole audio, and computes each column once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.live_spectrum import LiveSpectrum
from fingerprint.analysis.spectrum import log_spectrum
from fingerprint.settings import HOP, N_BINS, TAPER
from tests.examples import examples

LENGTH = 400 * HOP
AUDIO = np.random.default_rng(0).standard_normal(LENGTH).astype(np.float32)
BESIDE = TAPER // 2 // HOP  # columns at an end that see beyond it

# Frames at which pieces begin, and their lengths in samples: they overlap, lie apart, or go back.
pieces = st.lists(st.tuples(st.integers(0, 350), st.integers(0, 60 * HOP)), min_size=1, max_size=6)


@examples(40)
@given(pieces=pieces, forget=st.integers(0, LENGTH))
def test_columns_inside_a_piece_are_those_of_the_whole(pieces, forget):
    whole, live = log_spectrum(AUDIO), LiveSpectrum()
    for first, length in pieces:
        piece = AUDIO[first * HOP : first * HOP + length]
        found = live.of(piece, first * HOP)
        assert found.shape == (1 + len(piece) // HOP, N_BINS)
        inside = slice(BESIDE, max((len(piece) - TAPER // 2) // HOP + 1, BESIDE))
        # Products round the last bit by the row; landmarks are the same (test_landmark_buffer).
        expected = whole[first:][: len(found)][inside]
        np.testing.assert_allclose(found[inside], expected, atol=4e-6)
        live.forget_before(forget)


def test_a_known_column_is_not_computed_again():
    live = LiveSpectrum()
    before = live.of(AUDIO[: 200 * HOP], 0)
    other = AUDIO[100 * HOP : 300 * HOP].copy()
    other[: 80 * HOP] = 0  # had it been computed again, this would be silence
    after = live.of(other, 100 * HOP)
    np.testing.assert_array_equal(after[: 90 - BESIDE], before[100 : 190 - BESIDE])


def test_what_is_forgotten_is_computed_again():
    live = LiveSpectrum()
    live.of(AUDIO[: 200 * HOP], 0)
    live.forget_before(150 * HOP)
    silence = live.of(np.zeros(100 * HOP, np.float32), 100 * HOP)
    assert (silence == silence[0, 0]).all()
