from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airsift.errors import ConfigError
from model.corpus import teacher
from model.experiments import config, distillation, windows
from model.experiments.config import Sizes, WindowChoice
from tests.command import airsift
from tests.model.experiments.manifest import write_manifest

CHOICE = WindowChoice(negative=["speech"], positive=["music"])
SIZES = Sizes(train=20, validation=4, test=4, epochs=1, seeds=1)
WEIGHT = st.floats(0, 1)
PROBABILITIES = arrays(np.float32, 9, elements=st.floats(0, 1, width=32))
CLASSES = np.arange(9) % 2


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    windows.decode_manifest(write_manifest(folder), folder / "corpus", lambda line: None)
    return folder / "corpus"


class LoudTones(torch.nn.Module):
    """A teacher that finds music in a level of -14 dB or more: the tones of the manifest."""

    names = ("Speech", "Rain", "Music")

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        self.lengths.append(samples.shape[1])
        loud = samples.square().mean(1).sqrt() > 0.2
        music = torch.where(loud, 4.0, -4.0)
        return torch.stack([-music, torch.full_like(music, 9.0), music], dim=1)


@given(WEIGHT, PROBABILITIES)
def test_targets_lie_between_the_classes_and_the_teacher(weight, teachers) -> None:
    found = distillation.mixed(CLASSES, teachers, weight)
    low, high = np.minimum(CLASSES, teachers), np.maximum(CLASSES, teachers)
    assert np.all((found >= low - 1e-6) & (found <= high + 1e-6))
    assert np.array_equal(distillation.mixed(CLASSES, teachers, 0.0), CLASSES)
    assert np.array_equal(distillation.mixed(CLASSES, teachers, 1.0), teachers)


@pytest.mark.parametrize("length", [2400, 80_000])
def test_the_teacher_analyses_5_s_and_finds_the_class(corpus, monkeypatch, length) -> None:
    tagger = LoudTones()
    monkeypatch.setattr(teacher, "load_teacher", lambda folder: tagger)
    drawn = windows.draw(corpus, CHOICE, "sources", SIZES, length)["train"]
    p = distillation.probabilities(drawn, CHOICE, corpus, lambda done, total: None)
    assert set(tagger.lengths) == {5 * teacher.RATE}
    assert np.array_equal(p > 0.5, drawn.classes == 1)
    # Rain, which is neither, does not count: both probabilities are of the two classes alone.
    assert p[drawn.classes == 1] == pytest.approx(np.float32(1 / (1 + np.exp(-4))), abs=1e-3)


def test_probabilities_are_computed_once(corpus, tmp_path, monkeypatch) -> None:
    drawn = windows.draw(corpus, CHOICE, "sources", SIZES, 80_000)["train"]
    tagger = LoudTones()
    monkeypatch.setattr(teacher, "load_teacher", lambda folder: tagger)
    first = distillation.stored(drawn, CHOICE, corpus, tmp_path, lambda line: None)
    calls = len(tagger.lengths)
    again = distillation.stored(drawn, CHOICE, corpus, tmp_path, lambda line: None)
    assert np.array_equal(first, again)
    assert len(tagger.lengths) == calls
    (file,) = tmp_path.glob("teacher-*.npy")
    file.write_bytes(b"\x93NUMPY")
    with pytest.raises(ConfigError, match=r"is damaged .* remove it and start again"):
        distillation.stored(drawn, CHOICE, corpus, tmp_path, lambda line: None)


def test_a_class_without_a_name_is_refused(corpus, monkeypatch) -> None:
    monkeypatch.setattr(teacher, "load_teacher", lambda folder: LoudTones())
    drawn = windows.draw(corpus, CHOICE, "sources", SIZES, 80_000)["train"]
    noise = WindowChoice(negative=["noise"], positive=["music"])
    with pytest.raises(ConfigError, match="has no name for the class 'noise': use speech, music"):
        distillation.probabilities(drawn, noise, corpus, lambda done, total: None)


@given(st.integers(0, 9), st.integers(2400, 400_000))
def test_surroundings_have_the_window_and_stay_in_the_recording(corpus, row, length) -> None:
    drawn = windows.draw(corpus, CHOICE, "sources", SIZES, 2400)["train"]
    (around,) = drawn.surroundings(row, row + 1, length)
    (window,) = drawn.samples(row, row + 1)
    start = int(drawn.starts[row])
    size = drawn.recordings[row].end - drawn.recordings[row].start
    begin = max(0, min(start - (length - 2400) // 2, size - length))
    assert np.array_equal(around[start - begin : start - begin + 2400], window)
    assert np.count_nonzero(around) > 0.9 * min(length, size)


def test_an_experiment_with_a_teacher_asks_for_it(tmp_path) -> None:
    done = airsift("experiment", "9", "--corpus", tmp_path)
    assert done.returncode == 1
    assert "9-distillation: rows of it learn from a teacher: name the folder" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_baseline_has_no_teacher(tmp_path) -> None:
    text = (config.folder() / "9-distillation.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace('network = "large"', 'baseline = "svm"'))
    with pytest.raises(ConfigError, match="a baseline learns classes, and not from a teacher"):
        config.load(own)
