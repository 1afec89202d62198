"""Properties of landmarks: independent of surrounding audio, of level and of position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.analysis.peaks import extract
from fingerprint.settings import BINS_PER_OCTAVE, F_MIN_HZ, HOP
from tests.examples import examples
from tests.fingerprint.music import compose

RATE = 16_000
EDGE = 2 * RATE  # a cut-out's landmarks may differ this near its ends


def same(a, b):
    return (
        np.array_equal(a.time, b.time)
        and np.array_equal(a.bin, b.bin)
        and np.array_equal(a.rank, b.rank)
    )


@examples(12)
@given(start=st.integers(0, 800), length=st.integers(400, 1200))
def test_a_cut_out_has_the_landmarks_of_the_whole(start, length):
    music = compose(1, 40.0)
    whole = extract(music)
    part = extract(music[start * HOP : (start + length) * HOP]).shift(start * HOP)
    inner = (part.start + EDGE, part.end - EDGE)
    assert len(part.between(*inner)) > 0
    assert same(part.between(*inner), whole.between(*inner))


@pytest.mark.parametrize("gain_db", [-20, 20])
def test_level_leaves_landmarks_equal(gain_db):
    music = compose(2, 20.0)
    assert same(extract(music), extract(music * np.float32(10 ** (gain_db / 20))))


@examples(5)
@given(frames=st.integers(1, 500))
def test_silence_in_front_only_shifts(frames):
    music = compose(3, 15.0)
    later = extract(np.concatenate([np.zeros(frames * HOP, np.float32), music]))
    expected = extract(music).shift(frames * HOP)
    inner = (frames * HOP + EDGE, len(music) + frames * HOP)
    assert same(later.between(*inner), expected.between(*inner))


def test_a_tone_burst_is_found_where_it_is():
    samples = np.zeros(6 * RATE, np.float32)
    time = np.arange(RATE // 4) / RATE
    hz = F_MIN_HZ * 2 ** (80 / BINS_PER_OCTAVE)
    burst = np.sin(2 * np.pi * hz * time) * np.hanning(len(time))
    samples[3 * RATE : 3 * RATE + len(burst)] = burst
    landmarks = extract(samples).strongest(1)
    strongest = np.abs(landmarks.bin - 80).argmin()
    assert landmarks.bin[strongest] == pytest.approx(80, abs=0.25)
    assert landmarks.time[strongest] == pytest.approx(3 * RATE + len(burst) / 2, abs=2 * HOP)


@pytest.mark.parametrize("n", [0, 1, HOP - 1, HOP, 5 * RATE])
def test_silence_has_no_landmarks(n):
    assert len(extract(np.zeros(n, np.float32))) == 0


def test_broken_samples_are_taken_for_silence():
    music = compose(4, 6.0).copy()
    music[40_000:40_100] = np.nan
    music[50_000] = np.inf
    landmarks = extract(music)
    assert len(landmarks) > 0
    assert np.isfinite(landmarks.bin).all()


def test_landmarks_come_in_order_of_time():
    landmarks = extract(compose(5, 20.0))
    assert (np.diff(landmarks.time) >= 0).all()
    assert landmarks.rank.min() == 0
