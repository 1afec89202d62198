from __future__ import annotations

import numpy as np
import pytest

from airsift.errors import ConfigError
from model.experiments.baselines import BASELINES, Baseline


def windows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs of two classes, of which one is louder in half of the bins."""
    random = np.random.default_rng(seed)
    classes = np.arange(count) % 2
    inputs = random.standard_normal((count, 3, 10, 6)).astype(np.float32)
    inputs[classes == 1, :, :, :3] += 1.5
    return inputs, classes


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_tells_two_classes_apart(name) -> None:
    pytest.importorskip("sklearn")
    baseline = Baseline(name, 1)
    baseline.fit(*windows(80, 1))
    inputs, classes = windows(60, 2)
    p = baseline.predict(inputs)
    assert p.shape == (60,)
    assert ((p >= 0) & (p <= 1)).all()
    assert ((p > 0.5) == classes).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_the_same_seed_gives_the_same_predictions(name) -> None:
    pytest.importorskip("sklearn")
    found = []
    for _ in range(2):
        baseline = Baseline(name, 3)
        baseline.fit(*windows(40, 1))
        found.append(baseline.predict(windows(30, 2)[0]))
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_the_scale_of_one_bin_does_not_count() -> None:
    pytest.importorskip("sklearn")
    scale = np.ones(6, np.float32)
    scale[4] = 1e4  # a bin that says nothing
    (inputs, classes), test = windows(80, 1), windows(60, 2)[0]
    plain, scaled = Baseline("svm", 1), Baseline("svm", 1)
    plain.fit(inputs, classes)
    scaled.fit(inputs * scale, classes)
    assert (plain.predict(test) == scaled.predict(test * scale)).mean() > 0.97


@pytest.mark.slow
def test_what_is_missing_is_named(monkeypatch) -> None:
    with pytest.raises(ConfigError, match="baseline='knn' is unknown: use one of svm, random-fore"):
        Baseline("knn", 1)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.preprocessing", None)
    with pytest.raises(ConfigError, match="the baseline svm needs sklearn"):
        Baseline("svm", 1)
