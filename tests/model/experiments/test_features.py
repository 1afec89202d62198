from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airsift.errors import ConfigError
from model.corpus.decoding import decode
from model.experiments import optional
from model.experiments.features import catalogue, separation, stack
from model.experiments.features.base import WINDOW, Feature

ROOT = Path(__file__).parents[3]
RATE = 16_000
COMPRESSION = 10_000
# The shapes of Tables 4.2 and 4.6, of experiment 1, and of the CQT in two parts.
SHAPES = {
    "cqt": (1, 216, 144),
    "cqt-separated": (2, 216, 144),
    "stft-20": (1, 431, 700),
    "stft-40": (1, 216, 700),
    "stft-80": (1, 108, 700),
    "mfcc": (1, 108, 12),
    "chroma": (1, 108, 12),
    "chroma+mfcc": (2, 108, 12),
    "chroma+mfcc+delta-mfcc": (3, 108, 12),
    "resolutions": (3, 15, 369),
}
SOUNDS = ("noise", "speech", "music")


def sound(name: str) -> np.ndarray:
    """Return 5 s of noise, or of what the demonstration plays."""
    if name == "noise":
        return 0.1 * np.random.default_rng(1).standard_normal(WINDOW).astype(np.float32)
    file = {"speech": "announcer.opus", "music": "palace.opus"}[name]
    path = ROOT / "stream" / "demo" / "audio" / file
    samples = decode(path.read_bytes(), path.name, seconds=9.0)
    return samples[3 * RATE : 3 * RATE + WINDOW].astype(np.float32) / 32768


@pytest.fixture(scope="module")
def librosa():
    return pytest.importorskip("librosa")


@pytest.fixture(scope="module")
def made() -> dict[str, Feature]:
    return {name: catalogue.make(name) for name in catalogue.FEATURES}


def computed(feature: Feature, samples: np.ndarray) -> np.ndarray:
    return feature(torch.from_numpy(samples)[None])[0].numpy()


def compressed(magnitudes: np.ndarray) -> np.ndarray:
    return np.log2(1 + COMPRESSION * magnitudes)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_as_stated(name, made) -> None:
    feature = made[name]
    assert feature.shape == SHAPES[name]
    windows = torch.from_numpy(np.stack([sound("speech"), sound("noise")]))
    values = feature(windows[:, : feature.samples])
    assert values.shape == (2, *SHAPES[name])
    assert feature.input_bytes == 4 * np.prod(SHAPES[name])


def test_every_feature_has_a_stated_shape() -> None:
    assert set(catalogue.FEATURES) == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_a_window_does_not_depend_on_its_neighbours(name, made) -> None:
    feature = made[name]
    loud, quiet = sound("noise"), 1e-3 * sound("speech")
    windows = torch.from_numpy(np.stack([quiet, loud]))[:, : feature.samples]
    torch.testing.assert_close(feature(windows)[0], feature(windows[:1])[0], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_silence_and_full_scale_are_finite(name, level, made) -> None:
    feature = made[name]
    assert torch.isfinite(feature(torch.full((1, feature.samples), level))).all()


@pytest.mark.slow
@pytest.mark.parametrize("which", SOUNDS)
@pytest.mark.parametrize("ms", [20, 40, 80])
def test_the_stft_is_librosas(which, ms, made, librosa) -> None:
    samples, length = sound(which), ms * 16
    wanted = np.abs(
        librosa.stft(
            samples, n_fft=1400, hop_length=186 * ms // 20, win_length=length, pad_mode="constant"
        )
    )[:700]
    window = librosa.filters.get_window("hann", length)
    found = computed(made[f"stft-{ms}"], samples)[0]
    np.testing.assert_allclose(found, compressed(wanted * 2 / window.sum()).T, atol=2e-3)


@pytest.mark.parametrize("which", SOUNDS)
def test_the_resolutions_are_librosas(which, made, librosa) -> None:
    samples = sound(which)[:2400]
    found = computed(made["resolutions"], samples)
    padded = np.pad(samples, 560)
    for channel, ms in enumerate((20, 40, 80)):
        length = 16 * ms
        wanted = np.abs(
            librosa.stft(padded, n_fft=1280, hop_length=160, win_length=length, center=False)
        )[:369] * (2 / librosa.filters.get_window("hann", length).sum())
        np.testing.assert_allclose(found[channel], compressed(wanted).T, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("which", SOUNDS)
def test_the_mfcc_are_librosas(which, made, librosa) -> None:
    samples = sound(which)
    wanted = librosa.feature.mfcc(
        y=samples, sr=RATE, n_mfcc=13, n_fft=1024, hop_length=744, n_mels=40, fmin=130.0,
        fmax=6854.0, pad_mode="constant",
    )  # fmt: skip
    np.testing.assert_allclose(computed(made["mfcc"], samples)[0], wanted[1:].T, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("which", SOUNDS)
def test_the_cqt_is_librosas(which, made, librosa) -> None:
    """librosa's kernels are sampled at lower rates, so quiet bins beside loud ones differ."""
    samples = sound(which)
    magnitudes = np.abs(
        librosa.cqt(
            samples, sr=RATE, hop_length=372, fmin=80.0, n_bins=144, bins_per_octave=24
        )
    )  # fmt: skip
    lengths, _ = librosa.filters.wavelet_lengths(
        freqs=80.0 * 2 ** (np.arange(144) / 24), sr=RATE, window="hann"
    )
    wanted = compressed(magnitudes * (2 / np.sqrt(lengths))[:, None]).T
    found = computed(made["cqt"], samples)[0]
    assert np.abs(found - wanted).mean() < 0.05
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999


@pytest.mark.slow
@pytest.mark.parametrize("which", SOUNDS)
def test_the_chroma_is_librosas(which, made, librosa) -> None:
    samples = sound(which)
    wanted = librosa.feature.chroma_cqt(
        y=samples, sr=RATE, hop_length=744, fmin=73.42, n_octaves=6, bins_per_octave=36, tuning=0.0
    )
    found = computed(made["chroma"], samples)[0].T
    assert np.abs(found - wanted).mean() < 0.01
    assert np.abs(found - wanted).max() < 0.2


@pytest.mark.parametrize("which", SOUNDS)
def test_the_delta_is_librosas(which, made, librosa) -> None:
    values = computed(made["mfcc"], sound(which))
    found = stack.delta(torch.from_numpy(values)).numpy()[0]
    wanted = librosa.feature.delta(values[0], width=9, axis=0, mode="nearest")
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("which", SOUNDS)
def test_the_separation_is_librosas(which, made, librosa) -> None:
    cqt = (2 ** computed(made["cqt"], sound(which))[0] - 1) / COMPRESSION
    found = separation.separate(torch.from_numpy(cqt)[None])
    wanted = librosa.decompose.hpss(cqt.T)
    for part, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(part[0].T, theirs, atol=1e-6)


@given(
    arrays(
        np.float32,
        (2, 40, 36),
        elements=st.just(0) | st.floats(2**-30, 1, width=32),
        fill=st.just(0),
    )
)
@settings(max_examples=30)
def test_both_parts_make_up_the_whole(values) -> None:
    harmonic, percussive = separation.separate(torch.from_numpy(values))
    assert (harmonic >= 0).all()
    assert (percussive >= 0).all()
    np.testing.assert_allclose(harmonic + percussive, values, rtol=1e-6)


def test_what_lasts_is_harmonic_and_what_is_broad_is_percussive(made) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(WINDOW) / RATE).astype(np.float32)
    clicks = np.zeros(WINDOW, np.float32)
    clicks[RATE::RATE] = 0.9
    for samples, most, least in ((tone, 0, 1), (clicks, 1, 0)):
        parts = computed(made["cqt-separated"], samples).sum((1, 2))
        assert parts[most] > 3 * parts[least]


def test_a_feature_is_known_by_its_own_code(made) -> None:
    """Features are kept on disk: a change of one must not compute the others again."""
    assert made["cqt"].code == ("model.experiments.features.cqt",)
    whole = made["chroma+mfcc+delta-mfcc"].code
    parts = {f"model.experiments.features.{name}" for name in ("chroma", "mfcc", "stack")}
    assert set(whole) == parts


@given(slope=st.floats(-10, 10), start=st.floats(-100, 100))
@settings(max_examples=20)
def test_the_delta_of_a_line_is_its_slope(slope, start) -> None:
    line = start + slope * torch.arange(20.0)[:, None].expand(20, 3)
    inner = stack.delta(line[None])[0, 4:-4]
    torch.testing.assert_close(inner, torch.full_like(inner, slope), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("pitch_class", [0, 4, 9])
def test_a_tone_has_its_pitch_class_and_its_bin(pitch_class, made) -> None:
    hertz = 261.626 * 2 ** (pitch_class / 12)  # from C4 on
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(WINDOW) / RATE).astype(np.float32)
    assert (computed(made["chroma"], tone)[0, 5:-5].argmax(1) == pitch_class).all()
    nearest = round(24 * np.log2(hertz / 80))
    column = computed(made["cqt"], tone)[0, 100]
    assert column.argmax() == nearest
    # A sine of amplitude 0.5 has magnitude 0.5, less what the distance to the bin's centre costs.
    assert compressed(0.25) < column.max() <= compressed(0.5) + 0.01
    assert computed(made["stft-80"], tone)[0, 50].max() == pytest.approx(compressed(0.5), abs=0.25)


def test_a_stack_has_its_parts_as_channels(made) -> None:
    samples = sound("music")
    whole = computed(made["chroma+mfcc+delta-mfcc"], samples)
    mfcc = computed(made["mfcc"], samples)
    np.testing.assert_array_equal(whole[0], computed(made["chroma"], samples)[0])
    np.testing.assert_array_equal(whole[1], mfcc[0])
    np.testing.assert_array_equal(whole[2], stack.delta(torch.from_numpy(mfcc))[0].numpy())
    assert made["chroma+mfcc+delta-mfcc"].name == "chroma+mfcc+delta-mfcc"


def test_what_cannot_be_computed_is_refused_by_name(made, monkeypatch) -> None:
    with pytest.raises(ConfigError, match=r"feature='mel' is unknown: use one of cqt, cqt-sep"):
        catalogue.make("mel")
    with pytest.raises(ConfigError, match=r"\(2, 79999\) for the feature mfcc.*5 s at 16000 Hz"):
        made["mfcc"](torch.zeros(2, 79_999))
    with pytest.raises(ConfigError, match=r"cqt of shape .* cannot be stacked on mfcc"):
        stack.Stack([made["mfcc"], made["cqt"]])
    monkeypatch.setitem(__import__("sys").modules, "librosa", None)
    with pytest.raises(ConfigError, match=r"chroma needs librosa: `pip install 'airsift\[exp"):
        catalogue.make("chroma")
    assert optional.needed("math", "a sum").sqrt(4) == 2
