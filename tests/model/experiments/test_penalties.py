from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from airsift.errors import ConfigError
from model.experiments.architecture import Convolution, ConvolutionalNetwork, Dense
from model.experiments.penalties import ELASTIC_NET, PENALTIES, Penalty, elastic_net, total

# Two filters of two weights: |.| sums 7 and 5, norms 5 and 5, squares 25 and 25.
MATRIX = torch.tensor([[3.0, -4.0], [0.0, 5.0]])
BY_HAND = {
    "L1": 12.0,
    "L2": 50.0,
    "L1/L2": 12.0 / math.sqrt(50.0),
    "L21": 10.0,
    "L12": math.sqrt(7.0**2 + 5.0**2),
}
# One filter of four equal weights, a matrix of one weight, and one of zeros.
MORE_BY_HAND = [
    (torch.full((1, 4), -0.5), {"L1": 2, "L2": 1, "L1/L2": 2, "L21": 1, "L12": 2}),
    (torch.tensor([[0.0, 0.0], [0.0, -3.0]]), {"L1": 3, "L2": 9, "L1/L2": 1, "L21": 3, "L12": 3}),
    (torch.zeros(2, 3), dict.fromkeys(BY_HAND, 0)),
]
# Scaling the weights by c scales the penalty by c to this power.
DEGREES = {"L1": 1, "L2": 2, "L1/L2": 0, "L21": 1, "L12": 1}

matrices = arrays.arrays(
    "float64", st.tuples(st.integers(1, 5), st.integers(1, 6)),
    elements=st.floats(-10, 10).filter(lambda value: value == 0 or abs(value) > 1e-6),
).map(torch.from_numpy)  # fmt: skip
kinds = pytest.mark.parametrize("kind", PENALTIES)


@kinds
def test_values_are_those_worked_out_by_hand(kind) -> None:
    penalty = Penalty(kind, {})
    assert penalty(MATRIX).item() == pytest.approx(BY_HAND[kind])
    for matrix, wanted in MORE_BY_HAND:
        assert penalty(matrix).item() == pytest.approx(wanted[kind])


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 50.0), (0.25, 40.5), (1.0, 12.0)])
def test_an_elastic_net_lies_between(share, wanted) -> None:
    assert Penalty(ELASTIC_NET, {}, share)(MATRIX).item() == pytest.approx(wanted)
    assert elastic_net(MATRIX, share).item() == pytest.approx(wanted)


@pytest.mark.slow
@kinds
@given(matrix=matrices, scale=st.floats(0.01, 100))
def test_each_is_homogeneous(kind, matrix, scale) -> None:
    penalty = PENALTIES[kind]
    torch.testing.assert_close(penalty(scale * matrix), scale ** DEGREES[kind] * penalty(matrix))


@pytest.mark.slow
@kinds
@given(matrix=matrices, data=st.data())
def test_order_and_sign_do_not_count(kind, matrix, data) -> None:
    rows = data.draw(st.permutations(range(matrix.shape[0])))
    columns = data.draw(st.permutations(range(matrix.shape[1])))
    signs = torch.tensor(
        data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=len(rows), max_size=len(rows))),
        dtype=matrix.dtype,
    )
    other = (signs[:, None] * matrix)[rows][:, columns]
    torch.testing.assert_close(PENALTIES[kind](other), PENALTIES[kind](matrix))


@given(matrix=matrices)
def test_mixed_norms_lie_between_the_plain_ones(matrix) -> None:
    euclidean = PENALTIES["L2"](matrix).sqrt()
    largest = PENALTIES["L1"](matrix) * (1 + 1e-9)
    for kind in ("L21", "L12"):
        value = PENALTIES[kind](matrix)
        assert euclidean * (1 - 1e-9) <= value <= largest


def test_l21_counts_filters_and_l12_weights_in_a_filter() -> None:
    one_filter = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    one_of_each = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert PENALTIES["L21"](one_filter) < PENALTIES["L21"](one_of_each)
    assert PENALTIES["L12"](one_of_each) < PENALTIES["L12"](one_filter)


@kinds
@pytest.mark.parametrize("matrix", [MATRIX, torch.zeros(2, 2)], ids=["weights", "zeros"])
def test_gradients_are_finite_also_at_zero(kind, matrix) -> None:
    weights = matrix.clone().requires_grad_()
    PENALTIES[kind](weights).backward()
    assert torch.isfinite(weights.grad).all()


@kinds
def test_gradients_are_those_of_the_value(kind) -> None:
    weights = torch.tensor([[0.3, -0.4, 1.0], [2.0, 0.5, -0.7]], dtype=torch.float64)
    assert torch.autograd.gradcheck(PENALTIES[kind], weights.requires_grad_())


@given(
    strengths=st.dictionaries(
        st.sampled_from(["convolution 1", "dense 1", "output"]), st.floats(0, 10)
    )
)
def test_the_strength_is_one_for_each_layer(strengths) -> None:
    network = ConvolutionalNetwork((1, 4, 3), [Convolution(2, (2, 2)), Dense(3)])
    penalty = Penalty("L21", strengths)
    wanted = sum(
        strength * penalty(network.weights(layer)).item() for layer, strength in strengths.items()
    )
    assert total(network, [penalty]).item() == pytest.approx(wanted, rel=1e-5)
    assert total(network, []).item() == 0


def test_a_filter_is_a_row_with_all_of_its_weights() -> None:
    network = ConvolutionalNetwork((3, 4, 5), [Convolution(2, (2, 3)), Dense(7)])
    assert network.weights("convolution 1").shape == (2, 3 * 2 * 3)
    assert network.weights("dense 1").shape == (7, 2 * 3 * 3)
    with torch.no_grad():
        network.layers["convolution 1"].weight[1] = 0
    assert network.weights("convolution 1")[1].abs().sum() == 0
    assert network.weights("convolution 1")[0].abs().sum() > 0


def test_what_is_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"penalty='L3' is unknown: use one of L1, L2, L1/L2"):
        Penalty("L3", {})
    with pytest.raises(ConfigError, match=r"strength=-1 of L1 on dense 1 must be finite"):
        Penalty("L1", {"dense 1": -1})
    with pytest.raises(ConfigError, match=r"strength=nan of L1 on dense 1"):
        Penalty("L1", {"dense 1": math.nan})
    with pytest.raises(ConfigError, match=r"share=1.5 of L1 in an elastic net"):
        Penalty(ELASTIC_NET, {}, 1.5)
    network = ConvolutionalNetwork((1, 4, 3), [Dense(3)])
    with pytest.raises(ConfigError, match="layer='dense 2' has no weights: use one of dense 1, ou"):
        total(network, [Penalty("L1", {"dense 2": 1.0})])
