from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.corpus.recordings import Recording
from model.experiments.transformations import KINDS, RANGES, Change, apply, changed
from model.experiments.windows import Windows
from stream.testing import noise, tone

RATE = 16_000


def db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples.astype(np.float64)))))


def pitch(samples: np.ndarray) -> float:
    """Return the frequency of the strongest peak, without the ends."""
    middle = samples[len(samples) // 8 : -len(samples) // 8]
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 19))
    return float(power.argmax() * RATE / (1 << 19))


@pytest.mark.parametrize("kind", KINDS)
def test_the_identity_changes_no_bit(kind) -> None:
    samples = noise(1, level=0.3, seed=1)
    nothing = Change(kind, 1.0 if kind == "tempo" else 0.0)
    assert nothing.is_identity
    np.testing.assert_array_equal(apply(samples, nothing), samples)


@given(st.floats(-60, 40))
@settings(max_examples=20)
def test_a_level_changes_by_exactly_its_db(amount) -> None:
    samples = noise(1, level=0.3, seed=1)
    louder = apply(samples, Change("level", amount))
    assert db(louder) - db(samples) == pytest.approx(amount, abs=1e-4)
    back = apply(louder, Change("level", -amount)) if amount > -40 else None
    if back is not None:
        np.testing.assert_allclose(back, samples, atol=1e-6)  # nothing was clipped


@pytest.mark.slow
@given(st.floats(-6, 6), st.sampled_from([220, 440, 1000]))
@settings(max_examples=10, deadline=None)
def test_a_transposed_sine_has_its_frequency_and_its_length(semitones, hertz) -> None:
    samples = tone(3, hz=hertz, level=0.3)
    found = apply(samples, Change("transposition", semitones))
    assert len(found) == pytest.approx(len(samples), rel=0.01)
    cents = 1200 * np.log2(pitch(found) / (hertz * 2 ** (semitones / 12)))
    assert abs(cents) < 5
    assert db(found[8000:40000]) == pytest.approx(db(samples[8000:40000]), abs=0.5)


@pytest.mark.parametrize("tempo", [0.8, 0.9, 1.1, 1.25])
def test_a_tempo_changes_the_length_and_not_the_frequency(tempo) -> None:
    samples = tone(4, hz=440, level=0.3)
    found = apply(samples, Change("tempo", tempo))
    assert len(found) == pytest.approx(len(samples) / tempo, rel=0.01)
    assert abs(1200 * np.log2(pitch(found) / 440)) < 5


def test_clicks_come_closer_when_the_tempo_rises() -> None:
    samples = noise(6, level=0.01, seed=1)
    for second in range(6):
        samples[second * RATE + 4000 : second * RATE + 5600] += noise(0.1, level=0.9, seed=second)
    found = apply(samples, Change("tempo", 1.25))
    blocks = np.square(found[: len(found) // 160 * 160].reshape(-1, 160)).mean(1)
    begins = np.flatnonzero((blocks[1:] > 0.01) & (blocks[:-1] <= 0.01))
    assert len(begins) == 6
    np.testing.assert_allclose(np.diff(begins) * 0.01, 0.8, atol=0.05)


@pytest.mark.parametrize(
    ("kind", "low_db", "high_db"), [("bass", 12, 0), ("treble", 0, 12), ("tilt", -6, 6)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_equaliser_changes_its_side_of_the_spectrum(kind, low_db, high_db, sign) -> None:
    for hertz, wanted in ((50, low_db), (7500, high_db)):
        samples = tone(2, hz=hertz, level=0.3)
        found = apply(samples, Change(kind, 12.0 * sign))
        assert db(found[RATE:]) - db(samples[RATE:]) == pytest.approx(sign * wanted, abs=0.6)


@pytest.mark.parametrize("change", [Change(kind, RANGES[kind][0] / 2 + 0.5) for kind in KINDS])
def test_a_changed_window_has_the_length_of_the_window(change, monkeypatch) -> None:
    samples = (noise(6, level=0.3, seed=2) * 32767).astype(np.int16)
    monkeypatch.setattr("model.corpus.recordings.samples_of", lambda corpus, each: samples)
    one = Recording("s", "a.wav", "music", "g", 0, len(samples), "d")
    of = Windows(Path(), 5 * RATE, [one], np.array([RATE // 2]), np.array([1]))
    found = changed(of, 0, 1, change)
    assert found.shape == (1, 5 * RATE)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    # A faster window is filled with more of the recording, as far as there is more.
    faster = changed(of, 0, 1, Change("tempo", 1.15))
    assert db(faster[0, -RATE // 2 :]) > -30


@pytest.mark.parametrize(
    ("kind", "amount", "message"),
    [
        ("speed", 1, "change='speed' is unknown: use one of transposition, tempo"),
        ("tempo", 3, "tempo=3 must be from 0.5 to 2 times"),
        ("level", float("nan"), "level=nan must be from -60 to 40 dB"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(kind, amount, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Change(kind, amount)
