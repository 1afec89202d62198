from __future__ import annotations

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.corpus.takes import HOP, RATE, Take
from model.evaluation import conditions

NAMES = ("speech", "music", "speech, GSM 06.10", "music, two semitones up")


@pytest.fixture(scope="module")
def takes() -> list[Take]:
    """Return 20 s of two groups of each class: noise, and in speech and music a tone as well."""
    random = np.random.default_rng(0)
    time = np.arange(20 * RATE) / RATE
    rows = []
    for kind, hz in (("speech", 500.0), ("music", 1000.0), ("noise", 0.0)):
        for number in range(2):
            samples = np.sin(2 * np.pi * hz * time) + 0.05 * random.standard_normal(len(time))
            active = np.ones(len(time) // HOP, np.bool_)
            rows.append(Take(f"{kind}:{number}", kind, samples.astype(np.float32), active))
    return rows


def generate(takes: list[Take], *names: str) -> dict[str, conditions.Condition]:
    return {
        each.name: each
        for each in conditions.conditions_of(takes, "test", max_windows=4, names=names)
    }


def level_db(samples: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.mean(samples.astype(float) ** 2, axis=1))


def peak_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * RATE / len(samples)


def test_a_degradation_has_the_windows_and_levels_of_the_clean_condition(takes) -> None:
    found = generate(takes, *NAMES)
    assert list(found) == list(NAMES)
    clean, coded = found["speech"], found["speech, GSM 06.10"]
    assert clean.groups == coded.groups
    np.testing.assert_allclose(level_db(clean.samples), level_db(coded.samples), atol=0.1)
    assert len(np.unique(np.round(level_db(clean.samples), 1))) == 4


def test_a_condition_does_not_depend_on_the_others(takes) -> None:
    all_of_them, alone = generate(takes, *NAMES), generate(takes, "speech, GSM 06.10")
    assert list(alone) == ["speech, GSM 06.10"]
    np.testing.assert_array_equal(
        alone["speech, GSM 06.10"].samples, all_of_them["speech, GSM 06.10"].samples
    )


def test_gsm_keeps_a_telephones_band_and_a_turntable_moves_the_pitch(takes) -> None:
    found = generate(takes, *NAMES)
    coded, clean = found["speech, GSM 06.10"].samples[0], found["speech"].samples[0]
    assert peak_hz(coded) == pytest.approx(500, abs=2)
    treble = np.fft.rfftfreq(len(clean), 1 / RATE) > 4200
    share = [
        (np.abs(np.fft.rfft(each))[treble] ** 2).sum() / (np.abs(np.fft.rfft(each)) ** 2).sum()
        for each in (clean, coded)
    ]
    assert share[1] < share[0] / 5
    faster = found["music, two semitones up"].samples
    assert peak_hz(faster[0]) == pytest.approx(1000 * 2 ** (2 / 12), abs=3)


def test_music_under_speech_is_the_same_music_at_every_level(takes) -> None:
    found = generate(takes, "music at -10 dB and speech", "music at -20 dB and speech")
    shares = []
    for each in found.values():
        spectrum = np.abs(np.fft.rfft(each.samples.astype(float))) ** 2
        hz = np.fft.rfftfreq(each.samples.shape[1], 1 / RATE)
        music, speech = (spectrum[:, np.abs(hz - tone) < 5].sum(axis=1) for tone in (1000.0, 500.0))
        shares.append(10 * np.log10(music / speech))
    np.testing.assert_allclose(shares[0], -10, atol=0.3)
    np.testing.assert_allclose(shares[1], -20, atol=0.3)


def test_a_split_without_a_class_is_named(takes) -> None:
    speech = [each for each in takes if each.kind == "speech"]
    with pytest.raises(ConfigError, match="the validation split has no music and no noise"):
        conditions.conditions_of(speech, "validation")


def test_sources_take_turns_and_a_degradation_has_the_first_windows() -> None:
    """Three groups of one source and one of another: four windows are two of each source."""
    random = np.random.default_rng(1)
    active = np.ones(20 * RATE // HOP, np.bool_)
    rows = [
        Take(
            f"{kind}:{group}", kind, random.standard_normal(20 * RATE).astype(np.float32), active,
            source, "own", f"kind of {group}",
        )
        for kind in ("speech", "music", "noise")
        for source, groups in (("large", "abc"), ("small", "d"))
        for group in groups
    ]  # fmt: skip
    found = {
        each.name: each
        for each in conditions.conditions_of(
            rows, "test", max_windows=4, max_per_source=3, names=("speech", "speech, telephone")
        )
    }
    clean, degraded = found["speech"], found["speech, telephone"]
    assert clean.sources == ["large", "small"] * 3
    assert sorted(clean.groups[::2]) == ["speech:a", "speech:b", "speech:c"]
    assert clean.categories[1::2] == ["kind of d"] * 3
    assert degraded.groups == clean.groups[:4]
    np.testing.assert_allclose(level_db(degraded.samples), level_db(clean.samples)[:4], atol=0.1)
