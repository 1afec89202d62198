from __future__ import annotations

import numpy as np
import pytest
import torch

from model.corpus.feature_store import TakeRow
from model.networks.pooled import Network
from model.training.validation import Validation, condition_cost, condition_error, find_mislabelled
from tests.model.stores import store_of


def held_out(names: list[str]) -> Validation:
    truth = torch.tensor([[1.0, 0.0]] * len(names))
    return Validation(torch.zeros(len(names), 250, 144, dtype=torch.float16), truth, names)


def test_each_condition_counts_the_same_however_many_windows_it_has() -> None:
    scores = torch.tensor([[3.0, -3.0]] * 9 + [[-3.0, 3.0]])
    assert condition_error(scores, held_out(["a"] * 9 + ["b"])) == pytest.approx(0.5)
    few = condition_cost(scores, held_out(["a"] * 9 + ["b"]))
    right, wrong = np.log1p(np.exp(-3.0)), np.log1p(np.exp(3.0))
    assert few == pytest.approx((right + wrong) / 2, rel=1e-5)


def test_a_mislabelled_window_costs_no_more_than_a_certain_mistake() -> None:
    certain = condition_cost(torch.tensor([[-5.0, -9.0]]), held_out(["a"]))
    absurd = condition_cost(torch.tensor([[-500.0, -9.0]]), held_out(["a"]))
    assert absurd == pytest.approx(certain)
    assert condition_cost(torch.tensor([[5.0, -9.0]]), held_out(["a"])) < certain


class CallsAllMusic(Network):
    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[-9.0, 9.0]]).repeat(len(columns), 1)


def test_takes_that_a_network_contradicts_are_found_unless_synthetic() -> None:
    """Their origin decides, not the name of the group, which a user may choose."""
    rows = [
        ("voice:1", "speech", "own"), ("track:1", "music", "own"), ("place:1", "noise", "own"),
        ("synthetic-hiss:1", "noise", "synthetic"),
        ("synthetic-conversation:1", "speech", "synthetic"),
        ("synthetic-hiss:2", "noise", "own"), ("synthetic-conversation:2", "speech", "own"),
    ]  # fmt: skip
    takes = [
        TakeRow(group, kind, 500 * place, 500 * (place + 1), "s", origin)
        for place, (group, kind, origin) in enumerate(rows)
    ]
    columns = np.zeros((500 * len(takes), 144), np.float16)
    store = store_of(columns, takes)
    assert find_mislabelled(CallsAllMusic(), store) == {0, 2, 5, 6}
