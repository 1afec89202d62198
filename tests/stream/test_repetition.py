"""Frozen audio: loops of any length that are found, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.levels.meter import Meter
from stream.levels.repetition import MEMORY_S, Repetition
from stream.testing import music_like, noise, speech_like, tone
from tests.examples import examples

RATE = 8000


def frozen(samples: np.ndarray, rate: int = RATE, start: int = 0) -> list[bool]:
    """Return whether the audio is frozen after each whole second."""
    meter, repetition, out = Meter(1, rate, start), Repetition(), []
    while len(samples):
        samples = samples[meter.take(samples) :]
        if meter.is_full:
            out.append(repetition.push(meter.measure(0.0).marks))
    return out


def before(seconds: float) -> np.ndarray:
    return speech_like(seconds, RATE, seed=9)


@pytest.mark.slow
@examples(60)
@given(st.integers(80, RATE), st.integers(0, 5), st.integers(0, RATE - 1))
def test_a_loop_of_up_to_a_second_is_found(period: int, seed: int, start: int) -> None:
    loop = noise(1.1, RATE, seed=seed)[:period]
    samples = np.concatenate([before(5), np.resize(loop, 20 * RATE)])
    found = frozen(samples, start=start)
    assert not any(found[:10])
    assert found[17]
    assert found[-1]


@pytest.mark.slow
@pytest.mark.parametrize("make", [noise, speech_like, music_like])
@examples(15)
@given(period_s=st.floats(1, 14))
def test_a_longer_loop_is_found_after_some_rounds(make, period_s: float) -> None:
    period = round(period_s * RATE)
    samples = np.concatenate([before(5), np.resize(make(15, RATE, seed=3)[:period], 70 * RATE)])
    found = frozen(samples)
    assert not any(found[: 5 + int(period_s)])
    assert any(found[: 5 + int(3 * period_s) + 10])
    assert np.mean(found[-30:]) > 0.7


@pytest.mark.parametrize("make", [noise, speech_like, music_like])
def test_programmes_are_no_loops(make) -> None:
    assert not any(frozen(make(60, RATE)))


def test_music_that_repeats_with_other_samples_is_no_loop() -> None:
    bar = music_like(2, RATE)
    rng = np.random.default_rng(0)
    bars = [bar + rng.integers(-1, 2, len(bar)) / 32_768 for _ in range(30)]
    assert not any(frozen(np.concatenate(bars).astype(np.float32)))


def test_silence_is_no_loop_and_a_sample_that_stands_still_is() -> None:
    assert not any(frozen(np.zeros(30 * RATE, np.float32)))
    assert frozen(np.full(30 * RATE, 0.25, np.float32))[12]


def test_a_tone_of_whole_periods_is_a_loop() -> None:
    period = tone(1, RATE, hz=1000)[:8]
    assert frozen(np.resize(period, 30 * RATE))[12]


def test_it_ends_when_the_loop_does() -> None:
    loop = np.resize(noise(0.7, RATE), 20 * RATE)
    found = frozen(np.concatenate([loop, speech_like(10, RATE)]))
    assert found[19]
    assert not any(found[25:])


def test_a_loop_longer_than_the_memory_is_not_found() -> None:
    loop = noise(MEMORY_S + 5, RATE)
    assert not any(frozen(np.concatenate([loop, loop, loop])))
