from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model import evaluate
from model.classifier import Classifier
from model.conditions import Condition
from model.network import Network
from model.spec import ModelSpec

NAMES = {
    "speech": (1, 0),
    "music": (0, 1),
    "singing": (0, 1),
    "noise": (0, 0),
    "silence and hiss": (0, 0),
    "music at -10 dB and speech": (1, 1),
}


def judged(name: str, probabilities: list[tuple[float, float]]) -> evaluate.Judged:
    groups = np.array([f"{name}:{number % 3}" for number in range(len(probabilities))])
    return evaluate.Judged(name, NAMES[name], np.array(probabilities), groups)


def test_a_perfect_model_has_perfect_figures() -> None:
    everything = [judged(name, [truth] * 6) for name, truth in NAMES.items()]
    text = evaluate.table(everything, "test")
    assert "macro F of the two outputs at 0.5 | 100.0% (100.0% to 100.0%) | 36 | 18 |" in text
    assert "noise and silence labelled speech or music | 0.0%" in text
    assert "expected calibration error | 0.0%" in text


def test_figures_count_what_they_say() -> None:
    half = [(0.9, 0.1)] * 3 + [(0.9, 0.8)] * 3
    everything = [judged(name, half) for name in NAMES]
    text = evaluate.table(everything, "validation")
    assert "speech not labelled music | 50.0%" in text
    assert "noise and silence labelled speech or music | 100.0%" in text
    assert "| speech | 50.0%" in text


def test_every_window_is_judged() -> None:
    torch.manual_seed(0)
    classifier = Classifier(Network().eval(), ModelSpec())
    samples = np.zeros((20, 80_000), np.float32)
    (one,) = evaluate.measure(classifier, [Condition("speech", samples, (1, 0), ["a"] * 20)])
    assert one.probabilities.shape == (20, 2)
    np.testing.assert_allclose(one.probabilities, one.probabilities[:1].repeat(20, 0), atol=1e-5)


def test_the_table_goes_between_the_markers(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(f"# Card\n{evaluate.BEGIN}\nold\n{evaluate.END}\nend\n")
    evaluate.write_into(card, "new")
    evaluate.write_into(card, "newer")
    assert card.read_text() == f"# Card\n{evaluate.BEGIN}\nnewer\n{evaluate.END}\nend\n"
    (tmp_path / "bare.md").write_text("nothing")
    with pytest.raises(ConfigError, match="must have the lines"):
        evaluate.write_into(tmp_path / "bare.md", "new")
