from __future__ import annotations

import time

import numpy as np
import torch

from model.classifier import Classifier
from model.evaluation import predict
from model.evaluation.conditions import Condition
from model.networks.pooled import Network
from model.spec import ModelSpec


def test_every_window_is_predicted() -> None:
    torch.manual_seed(0)
    classifier = Classifier(Network().eval(), ModelSpec())
    samples = np.zeros((20, 80_000), np.float32)
    condition = Condition("speech", samples, (1, 0), ["a"] * 20, ["pack"] * 20)
    (one,) = predict.predict(classifier, [condition])
    assert one.sources.tolist() == ["pack"] * 20
    assert one.categories.tolist() == [""] * 20
    assert one.probabilities.shape == (20, 2)
    np.testing.assert_allclose(one.probabilities, one.probabilities[:1].repeat(20, 0), atol=1e-5)


class Busy:
    """A classifier whose calls take a known CPU time, and that ignores time asleep."""

    spec = ModelSpec()

    def embed(self, columns: torch.Tensor) -> torch.Tensor:
        assert torch.get_num_threads() == 1
        assert columns.shape == (1, 250, 144)
        time.sleep(0.02)
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass
        return columns

    def predict(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.embed(frames), frames


def test_the_cost_of_a_window_is_the_cpu_time_of_its_two_calls() -> None:
    threads = torch.get_num_threads()
    assert 0.01 <= predict.window_cpu_s(Busy(), repeats=3) < 0.02
    assert torch.get_num_threads() == threads
