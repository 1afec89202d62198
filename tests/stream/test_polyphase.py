"""The resampler of the pipeline: the bits do not depend on cuts or on where a stream begins."""

from __future__ import annotations

from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from stream import polyphase
from stream.audio import rescale
from stream.polyphase import PASS, PolyphaseResampler, filter_bank
from stream.resampler import GridResampler, resampler_from
from tests.examples import examples

RATE = 16_000
RATES = [8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, n).astype(np.float32)


def tone(hz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def resample(samples: np.ndarray, rate: int, cuts=(), start: int = 0) -> np.ndarray:
    resampler = PolyphaseResampler(filter_bank(rate, RATE), start)
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    out = [resampler.push(samples[a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*out, resampler.push(samples[:0], last=True)])


@examples(40)
@given(
    rate=st.sampled_from(RATES),
    n=st.one_of(st.integers(0, 30_000), st.integers(0, 250_000)),  # several units, and many
    cuts=st.lists(st.one_of(st.integers(0, 30_000), st.integers(0, 250_000)), max_size=20),
)
def test_any_cutting_gives_the_same_bits(rate: int, n: int, cuts: list[int]) -> None:
    samples = noise(n)
    whole = resample(samples, rate)
    assert len(whole) == rescale(n, rate, RATE)
    assert np.array_equal(resample(samples, rate, cuts), whole)


@pytest.mark.parametrize("rate", RATES)
def test_many_units_at_once_have_the_bits_of_single_ones(rate: int) -> None:
    """What the check finds on this machine holds for other numbers."""
    bank = filter_bank(rate, RATE)
    unit = bank.rows * bank.block_in
    samples = noise((2 * polyphase._JOINED + 3) * unit)
    found = resample(samples, rate)
    with mock.patch.object(polyphase, "_joined", return_value=1):
        assert np.array_equal(resample(samples, rate, range(0, len(samples), unit)), found)


def test_units_are_computed_one_by_one_where_the_check_fails() -> None:
    bank = filter_bank(44_100, RATE)
    product, shapes = np.matmul, set()

    def other_bits_with_many_rows(windows, weights, out):
        shapes.add(windows.shape[2])
        product(windows, weights, out=out)
        out *= 1 + 2.0**-20 * (windows.shape[2] > bank.rows)

    samples = noise(2 * polyphase._JOINED * bank.rows * bank.block_in)
    expected = resample(samples, 44_100, range(0, len(samples), bank.block_in))
    with (
        mock.patch.dict(polyphase._JOINS, clear=True),
        mock.patch.object(polyphase.np, "matmul", other_bits_with_many_rows),
    ):
        assert polyphase._joined(bank) == 1
        shapes.clear()
        assert np.array_equal(resample(samples, 44_100), expected)
    assert shapes == {bank.rows}


@examples(40)
@given(rate=st.sampled_from(RATES), begin=st.integers(0, 20_000), more=st.integers(1_000, 20_000))
def test_a_beginning_anywhere_gives_the_same_bits(rate: int, begin: int, more: int) -> None:
    bank = filter_bank(rate, RATE)
    step = rate // np.gcd(rate, RATE)
    begin -= begin % step
    samples = noise(begin + more + 2 * bank.half)
    whole, late = resample(samples, rate), resample(samples[begin:], rate, start=begin)
    skip = -(-bank.half * RATE // rate) + 1  # those with input from before the beginning
    assert np.array_equal(late[skip:], whole[len(whole) - len(late) + skip :])


@pytest.mark.parametrize("rate", RATES)
def test_what_lies_in_the_band_keeps_place_and_level(rate: int) -> None:
    for hz in (200, 0.5 * min(rate, RATE) * 0.6, 0.5 * min(rate, RATE) * PASS):
        out, expected = resample(tone(hz, rate), rate), tone(hz, RATE)
        np.testing.assert_allclose(out[1600:-1600], expected[1600:-1600], atol=3e-5)


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate > RATE])
def test_nothing_folds_back_below_the_band_s_edge(rate: int) -> None:
    for hz in (8_801, 9_500, rate / 2 - 500):
        if hz < rate / 2:
            assert np.abs(resample(tone(hz, rate), rate)[1600:-1600]).max() < 2e-5


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate < RATE])
def test_nothing_appears_above_the_band_of_the_input(rate: int) -> None:
    out = resample(noise(2 * rate), rate)[1600:-1600]
    power = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    above = round(1.01 * rate / RATE * (len(power) - 1))
    assert power[above:].max() < 1e-8 * power[:above].max()


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_in_the_band_it_is_soxr(rate: int) -> None:
    """The networks were trained with soxr's samples."""
    samples = soxr.resample(noise(RATE * 2), RATE, rate).astype(np.float32)
    difference = resample(samples, rate) - soxr.resample(samples, rate, RATE, quality="HQ")
    spectrum = np.abs(np.fft.rfft(difference[1600:-1600])) / np.sqrt(len(difference))
    edge = round(0.85 * min(rate, RATE) / RATE * len(spectrum))
    assert spectrum[:edge].max() < 2e-3  # of noise of 0.3; soxr itself is 0.1 % from a sine


@pytest.mark.parametrize("rate", [44_099, 47_999])
def test_rates_whose_weights_repeat_too_late_use_soxr(rate: int) -> None:
    assert filter_bank(rate, RATE) is None
    assert isinstance(resampler_from(rate, RATE, 0), GridResampler)
