from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from model.corpus.feature_store import TakeRow
from model.evaluation.conditions import Condition
from model.networks.pooled import Network
from model.training.validation import (
    Validation,
    calibrate,
    condition_cost,
    condition_error,
    find_mislabelled,
    validation_set,
)
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


def test_each_source_of_a_class_has_a_name_and_small_ones_share_one() -> None:
    def windows(name: str, sources: list[str]) -> Condition:
        samples = np.zeros((len(sources), 80_000), np.float32)
        return Condition(name, samples, (1, 0), ["a"] * len(sources), sources)

    found = validation_set(
        [
            windows("speech", ["large"] * 10 + ["one"] * 2 + ["two"] * 3),
            windows("speech, telephone", ["large"] * 2),
        ]
    )
    assert Counter(found.names) == {
        "speech, large": 10, "speech, small sources": 5, "speech, telephone": 2,
    }  # fmt: skip
    assert found.columns.shape == (17, 250, 144)


class Scores(Network):
    """Log odds of 2 for speech and -2 for music."""

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[2.0, -2.0]]).repeat(len(columns), 1) / self.temperature


@pytest.mark.slow
def test_calibration_is_by_names_and_not_by_windows() -> None:
    """Of the large source all are right, of the small one half: 3 of 4 by names, 0.75."""
    small = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    truth = torch.cat([torch.tensor([[1.0, 0.0]]).repeat(98, 1), small])
    columns = torch.zeros(100, 250, 144, dtype=torch.float16)
    network = Scores()
    calibrate(network, Validation(columns, truth, ["large"] * 98 + ["small"] * 2))
    odds = 2.0 / network.get_buffer("temperature")
    torch.testing.assert_close(torch.sigmoid(odds), torch.tensor([0.75, 0.75]), atol=0.01, rtol=0)


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
