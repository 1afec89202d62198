from __future__ import annotations

import numpy as np
import torch

from model.classifier import Classifier
from model.evaluation import predict as measure
from model.evaluation.conditions import Condition
from model.networks.pooled import Network
from model.spec import ModelSpec


def test_every_window_is_judged() -> None:
    torch.manual_seed(0)
    classifier = Classifier(Network().eval(), ModelSpec())
    samples = np.zeros((20, 80_000), np.float32)
    (one,) = measure.measure(classifier, [Condition("speech", samples, (1, 0), ["a"] * 20)])
    assert one.probabilities.shape == (20, 2)
    np.testing.assert_allclose(one.probabilities, one.probabilities[:1].repeat(20, 0), atol=1e-5)


def test_a_window_costs_something() -> None:
    threads = torch.get_num_threads()
    cost = measure.window_cost_s(Classifier(Network().eval(), ModelSpec()), repeats=3)
    assert 0.0 < cost < 5.0
    assert torch.get_num_threads() == threads
