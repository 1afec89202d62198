from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.corpus import recordings, scenes
from model.corpus.recordings import Recording
from model.corpus.scenes import COLUMNS, LENGTH, MUSIC, SPEECH, Scene
from model.spec import HOP
from model.spec import SAMPLE_RATE as RATE

KINDS = ("speech", "music", "singing", "noise")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> scenes.Library:
    """Two sources of each class: a tone or noise of 6 s."""
    random = np.random.default_rng(0)
    stored = {
        f"{kind}{n}": (random.standard_normal(6 * RATE) * 3000).astype(np.int16)
        for kind in KINDS
        for n in range(2)
    }
    found = [
        Recording(f"s{n}", name, kind, name, 0, 6 * RATE, name, category="rain")
        for kind in KINDS
        for n in range(2)
        for name in [f"{kind}{n}"]
    ]
    monkeypatch.setattr(recordings, "samples_of", lambda _, each: stored[each.path])
    return scenes.Library(tmp_path, found)


def clip(seconds: float, level: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    count = int(seconds * RATE) // HOP * HOP
    return np.full(count, level, np.float32), np.ones(count, np.bool_)


def test_targets_are_where_a_sound_is_audible() -> None:
    scene = Scene(np.random.default_rng(0))
    end = scene.add(clip(10.0), "speech", start_s=2.0)
    assert end == pytest.approx(12.0)
    scene.add(clip(8.0), "music", start_s=10.0, fades_s=(4.0, 0.0), level_db=-20.0)
    scene.add(clip(5.0), "noise", start_s=30.0)
    speech, music = (np.flatnonzero(scene.targets[:, i]) for i in (SPEECH, MUSIC))
    assert (speech[0], speech[-1]) == (100, 599)
    # A sine fade of 4 s passes a quarter of the amplitude after 4 * asin(0.25) * 2 / pi seconds.
    assert music[0] * HOP / RATE == pytest.approx(10.0 + 4 * np.arcsin(0.25) * 2 / np.pi, abs=0.03)
    assert music[-1] == 899
    assert np.abs(scene.samples[31 * RATE]) > 0


def test_ducked_music_is_music() -> None:
    """A gain of -14 dB under talk is no fade: the music goes on."""
    scene = Scene(np.random.default_rng(0))
    music = clip(10.0)
    gain = np.full(len(music[0]), 0.2, np.float32)
    scene.add(music, "music", gain=gain, fades_s=(2.0, 0.0))
    (active,) = np.nonzero(scene.targets[:, MUSIC])
    # The fade still counts: a sine of 2 s passes a quarter after 2 * asin(0.25) * 2 / pi seconds.
    assert active[0] * HOP / RATE == pytest.approx(2 * np.arcsin(0.25) * 2 / np.pi, abs=0.03)
    assert np.array_equal(active, np.arange(active[0], 500))
    assert scene.samples[5 * RATE] == pytest.approx(0.02)


@pytest.mark.parametrize("kind", ["speech", "music", "singing", "noise"])
@given(seconds=st.floats(1.0, 40.0), seed=st.integers(0, 1000))
def test_what_is_drawn_ends_with_a_recording(kind: str, seconds: float, seed: int) -> None:
    """It is never longer than asked for; pauses are between recordings only, none in music."""
    stored = np.full(3 * RATE, 3000, np.int16)
    listed = [Recording("s", kind, kind, kind, 0, len(stored), kind)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recordings, "samples_of", lambda *_: stored)
        library = scenes.Library(Path(), listed)
        samples, active = library.draw(kind, seconds, np.random.default_rng(seed))
    assert len(samples) == len(active) <= seconds * RATE
    assert len(samples) >= min(seconds, 3.0) * RATE - 2 * HOP
    sounding = samples != 0
    assert sounding[1:9].all()
    assert sounding[-9:-1].all()
    assert active.all()
    assert kind != "music" or sounding.mean() > 0.99


def test_silent_recordings_give_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [Recording("s", "x", "speech", "x", 0, RATE, "x")]
    monkeypatch.setattr(recordings, "samples_of", lambda *_: np.zeros(RATE, np.int16))
    samples, active = scenes.Library(Path(), listed).draw("speech", 5.0, np.random.default_rng(0))
    assert len(samples) == len(active) == 0


def test_a_sound_that_begins_or_ends_outside_adds_nothing_there() -> None:
    scene = Scene(np.random.default_rng(0))
    scene.add(clip(10.0), "speech", start_s=35.0)
    assert scene.targets[:, SPEECH].sum() == 250
    assert scene.add(clip(1.0), "speech", start_s=40.0) == 40.0
    assert len(scene.samples) == LENGTH
    assert len(scene.targets) == COLUMNS


@pytest.mark.parametrize("kind", [make for _, make in scenes.SCENES], ids=lambda m: m.__name__)
def test_every_kind_of_scene_has_the_classes_it_is_named_for(
    library: scenes.Library, kind: scenes.Make
) -> None:
    """Over many seeds, each output that a kind can have is there, and audio where it is."""
    outputs = {"noisy": {SPEECH}, "phone_in": {SPEECH}, "live": {MUSIC}, "song": {MUSIC}}
    wanted = outputs.get(kind.__name__, {SPEECH, MUSIC})
    seen: set[int] = set()
    for seed in range(8):
        scene = Scene(np.random.default_rng(seed))
        kind(library, scene)
        assert np.isfinite(scene.samples).all()
        seen |= {output for output in (SPEECH, MUSIC) if scene.targets[:, output].any()}
        power = np.square(scene.samples).reshape(COLUMNS, HOP).mean(axis=1)
        loud = scene.targets.any(axis=1)
        assert power[loud].mean() > 1e-5
    assert seen == wanted


@pytest.mark.slow
def test_the_same_number_gives_the_same_scene(library: scenes.Library) -> None:
    first, second = (scenes.make(library, np.random.default_rng([1, 3, 7])) for _ in range(2))
    other = scenes.make(library, np.random.default_rng([1, 3, 8]))
    assert first[0] == second[0]
    assert np.array_equal(first[1], second[1])
    assert np.array_equal(first[2], second[2])
    assert not np.array_equal(first[1], other[1])


def test_automatic_gain_levels_and_hum_keeps_the_rest() -> None:
    random = np.random.default_rng(1)
    quiet_then_loud = np.concatenate([np.full(5 * RATE, 0.01), np.full(5 * RATE, 0.3)])
    samples = (quiet_then_loud * random.standard_normal(10 * RATE)).astype(np.float32)

    def difference_db(values: np.ndarray) -> float:
        first, last = values[: 4 * RATE].std(), values[-4 * RATE :].std()
        return float(20 * np.log10(last / first))

    levelled = scenes.automatic_gain(samples, np.random.default_rng(2))
    assert difference_db(levelled) < difference_db(samples) - 6
    hummed = scenes.hum(samples, np.random.default_rng(3))
    added = hummed - samples
    assert 10 ** (-40.5 / 20) < added.std() / samples.std() < 10 ** (-7.5 / 20)
