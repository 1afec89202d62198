from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import DecodeError
from stream.audio import rescale
from stream.resampler import Resampler
from tests.examples import examples

RATES = [8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 44_100, 48_000, 192_000]


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


def resample(samples: np.ndarray, resampler: Resampler, cuts: list[int]) -> np.ndarray:
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    pieces = [samples[a:b] for a, b in pairwise(edges)]
    out = [resampler.push(piece) for piece in pieces]
    return np.concatenate([*out, resampler.push(samples[:0], last=True)])


@examples(40)
@given(
    rate=st.sampled_from(RATES),
    n=st.integers(0, 50_000),
    cuts=st.lists(st.integers(0, 50_000), max_size=30),
)
def test_any_cutting_gives_the_offline_samples(rate: int, n: int, cuts: list[int]) -> None:
    samples = noise(n)
    whole = soxr.resample(samples, rate, 16_000, quality="HQ") if n else samples
    np.testing.assert_array_equal(resample(samples, Resampler(rate, 16_000), cuts), whole)


@examples(60)
@given(rate=st.integers(1_000, 192_000), n=st.integers(0, 20_000))
def test_the_number_of_samples_is_that_of_the_ratio(rate: int, n: int) -> None:
    assert len(resample(noise(n), Resampler(rate, 16_000), [n // 3])) == rescale(n, rate, 16_000)


@pytest.mark.slow
def test_an_hour_does_not_drift() -> None:
    resampler, minute = Resampler(11_025, 16_000), np.zeros(11_025 * 60, np.float32)
    counts = [len(resampler.push(minute)) for _ in range(60)]
    assert sum(counts) + len(resampler.push(minute[:0], last=True)) == 16_000 * 3_600


def test_after_last_it_is_as_new() -> None:
    resampler, samples = Resampler(44_100, 16_000), noise(30_000)
    first = resample(samples, resampler, [])
    np.testing.assert_array_equal(resample(samples, resampler, [7]), first)


def test_equal_rates_pass_through() -> None:
    samples = noise(100)
    assert Resampler(16_000, 16_000).push(samples, last=True) is samples


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 192_000])
def test_a_tone_below_the_band_edge_keeps_place_and_level(rate: int) -> None:
    tone = np.sin(2 * np.pi * 7_000 * np.arange(rate) / rate).astype(np.float32)
    out = resample(tone, Resampler(rate, 16_000), [1_000])
    expected = np.sin(2 * np.pi * 7_000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(out[800:-800], expected[800:-800], atol=1e-3)


def test_a_tone_above_half_the_rate_is_gone() -> None:
    tone = np.sin(2 * np.pi * 9_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(tone, Resampler(48_000, 16_000), [])[800:-800]).max() < 1e-4


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(DecodeError, match="rates of 0 and 16000 Hz"):
        Resampler(0, 16_000)
