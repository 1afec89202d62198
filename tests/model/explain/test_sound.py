from __future__ import annotations

import numpy as np
import pytest
import torch

from model.experiments.features.cqt import CQT, CQT_HOP
from model.explain import sound
from model.spec import COMPRESSION, SAMPLE_RATE
from stream.testing import music_like, speech_like

WINDOW = 5 * SAMPLE_RATE


@pytest.fixture(scope="module")
def transform() -> sound.ConstantQ:
    return sound.ConstantQ(CQT_HOP, 216)


@pytest.fixture(scope="module")
def feature() -> CQT:
    return CQT()


def magnitudes(feature: CQT, samples: torch.Tensor) -> torch.Tensor:
    return (torch.exp2(feature(samples[None])[0, 0]) - 1) / COMPRESSION


def circular(transform: sound.ConstantQ, samples: np.ndarray) -> torch.Tensor:
    """Return samples with the silence after them that the transform has."""
    size = transform.size
    return torch.nn.functional.pad(torch.from_numpy(samples), (0, size - len(samples)))


def test_a_sine_has_its_amplitude_in_its_bin(transform: sound.ConstantQ) -> None:
    hertz = 80 * 2 ** (50 / 24)
    time = np.arange(WINDOW) / SAMPLE_RATE
    samples = (0.25 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
    columns = transform.forward(circular(transform, samples)).abs()
    middle = columns[:, columns.shape[1] // 3]
    assert int(middle.argmax()) == 50
    assert float(middle.max()) == pytest.approx(0.25, rel=0.01)


def test_it_has_the_magnitudes_of_the_networks_input(
    transform: sound.ConstantQ, feature: CQT
) -> None:
    samples = music_like(5.0)
    ours = transform.forward(circular(transform, samples)).abs()[:, :: transform.oversampled]
    theirs = magnitudes(feature, torch.from_numpy(samples))
    assert sound.convergence(theirs, ours[:, :216].T) < 0.02


def test_the_inverse_returns_what_lies_in_the_bands(transform: sound.ConstantQ) -> None:
    time = np.arange(WINDOW) / SAMPLE_RATE
    taper = np.hanning(WINDOW)
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (110.0, 437.0, 1900.0, 4100.0))
    signal = circular(transform, (0.2 * taper * tones).astype(np.float32))
    again = transform.inverse(transform.forward(signal))
    assert sound.convergence(signal, again) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("make", [music_like, speech_like])
def test_audio_has_the_magnitudes_that_are_asked_for(make, transform, feature) -> None:
    wanted = magnitudes(feature, torch.from_numpy(make(5.0)))
    made = {}
    for iterations in (4, 32):
        found = sound.griffin_lim(transform, wanted, iterations)[:WINDOW]
        assert torch.isfinite(found).all()
        found = torch.nn.functional.pad(found, (0, WINDOW - len(found)))
        made[iterations] = sound.convergence(wanted, magnitudes(feature, found))
    assert made[32] < made[4]
    assert made[32] < 0.2


def test_silence_is_silent_and_the_same_seed_is_the_same_sound(transform) -> None:
    assert not sound.griffin_lim(transform, torch.zeros(216, 144), 2).any()
    some = torch.rand(216, 144, generator=torch.Generator().manual_seed(1))
    first, again = (sound.griffin_lim(transform, some, 2, seed=3) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, sound.griffin_lim(transform, some, 2, seed=4))
