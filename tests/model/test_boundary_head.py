from __future__ import annotations

import numpy as np
import pytest
import torch

from model.networks.pooled import Network
from model.training import boundary_head
from model.training.mixer import Batch


class Steps:
    """Windows in which something loud begins, at a column drawn near the middle."""

    def batch(self, size: int, random: np.random.Generator) -> Batch:
        columns = torch.from_numpy(random.uniform(0, 2, (size, 250, 144)).astype(np.float32))
        active = torch.zeros(size, 250, 2)
        for row, start in enumerate(random.integers(75, 175, size)):
            active[row, start:] = 1.0
            columns[row, start:] += 6.0
        return Batch(columns, active, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0))


@pytest.mark.long
def test_the_boundary_head_is_trained_and_decisions_stay() -> None:
    torch.manual_seed(0)
    network = Network()
    for number in range(25):  # statistics as after training
        network(Steps().batch(16, np.random.default_rng(number))[0])
    network.eval()
    columns, active, *_ = Steps().batch(64, np.random.default_rng(7))
    with torch.inference_mode():
        frames = network.embed(columns)
        decided = network.decide(frames)
    first, second = (
        boundary_head.fit(network, Steps(), steps=steps, batch=32, seed=1) for steps in (1, 150)
    )
    assert second < first / 2
    with torch.inference_mode():
        assert torch.equal(network.decide(network.embed(columns)), decided)
        _, located = network.predict(frames)
    # The moment is of the columns in the middle of its frame: off before the step, on after it.
    clear = active[:, 95:145].reshape(64, 5, 10, 2).mean(2)
    sure = (clear == 0) | (clear == 1)
    assert float(((located > 0.5) == (clear > 0.5))[sure].float().mean()) > 0.9


@pytest.mark.slow
def test_a_seed_gives_the_same_boundary_head() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        network = Network().eval()
        boundary_head.fit(network, Steps(), steps=8, batch=16, seed=3)
        states.append(network.state_dict())
    for name, values in states[0].items():
        assert torch.equal(values, states[1][name]), name
