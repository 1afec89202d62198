from __future__ import annotations

import numpy as np
import pytest
import torch

from model.corpus.feature_store import Bank, Row
from model.networks.pooled import Network
from model.training.validation import Validation, condition_cost, condition_error, disagreeing


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


def test_what_a_network_is_against_is_found_unless_it_was_made() -> None:
    """By what made it, and not by its name: that is a user's own."""
    made = [
        ("voice:1", "speech", "own"), ("track:1", "music", "own"), ("place:1", "noise", "own"),
        ("made-hiss:1", "noise", "made"), ("conversation:1", "speech", "made"),
        ("made-hiss:2", "noise", "own"), ("conversation:2", "speech", "own"),
    ]  # fmt: skip
    streams = [
        Row(group, kind, 500 * place, 500 * (place + 1), "s", origin)
        for place, (group, kind, origin) in enumerate(made)
    ]
    columns = np.zeros((500 * len(streams), 144), np.float16)
    bank = Bank(columns, np.ones(len(columns), np.bool_), streams)
    assert disagreeing(CallsAllMusic(), bank) == {0, 2, 5, 6}
