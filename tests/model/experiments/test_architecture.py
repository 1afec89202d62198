from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.experiments.architecture import (
    Convolution,
    ConvolutionalNetwork,
    Dense,
    Pool,
    cut,
    names_of,
)

LAYERS = (
    Convolution(4, (5, 0.5), (1, 2)), Pool((1, 2)), Convolution(3, (4, 1)), Pool((4, 1)),
    Dense(6), Dense(5),
)  # fmt: skip


def test_shapes_are_those_that_are_computed() -> None:
    network = ConvolutionalNetwork((2, 30, 20), LAYERS, 3)
    assert network.shapes == {
        "convolution 1": (4, 26, 6), "pool 1": (4, 26, 3), "convolution 2": (3, 23, 3),
        "pool 2": (3, 5, 3), "dense 1": (6,), "dense 2": (5,), "output": (3,),
    }  # fmt: skip
    values = torch.rand(7, 2, 30, 20)
    for name, layer in network.layers.items():
        values = layer(values.flatten(1) if len(network.shapes[name]) == 1 else values)
        assert values.shape == (7, *network.shapes[name])


extents = st.one_of(st.integers(1, 4), st.floats(0.05, 1.0))
layers = st.lists(
    st.one_of(
        st.builds(
            Convolution, st.integers(1, 3), st.tuples(extents, extents),
            st.tuples(st.integers(1, 3), st.integers(1, 3)),
        ),
        st.builds(Pool, st.tuples(extents, extents)),
    ),
    max_size=4,
)  # fmt: skip


@given(layers, st.tuples(st.integers(1, 3), st.integers(2, 20), st.integers(2, 20)))
@settings(max_examples=50)
def test_a_network_computes_or_is_refused_when_it_is_built(drawn, shape) -> None:
    try:
        network = ConvolutionalNetwork(shape, [*drawn, Dense(2)])
    except ConfigError as error:
        assert str(error).startswith(("convolution", "pool"))  # noqa: PT017 - drawn, may be right
        return
    found = network(torch.rand(2, *shape))
    torch.testing.assert_close(found.exp().sum(1), torch.ones(2))


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((1, 9, 5), [Convolution(1, (2, 6))],
         r"convolution 1: size 6 is more than the 5 bins of its input: make it at most 5"),
        ((1, 9, 5), [Convolution(1, (2, 2)), Pool((1, 4)), Convolution(1, (1, 2))],
         r"convolution 2: size 2 is more than the 1 bins of its input.*or pool less before it"),
        ((1, 9, 5), [Pool((10, 1))], r"pool 1: size 10 is more than the 9 frames"),
        ((1, 9, 5), [Convolution(1, (1.5, 1))], r"convolution 1: size 1.5 of the frames must be"),
        ((1, 9, 5), [Convolution(0, (1, 1))], r"convolution 1: maps 0 must be at least 1"),
        ((1, 9, 5), [Convolution(1, (0, 1))], r"convolution 1: size 0 must be at least 1"),
        ((1, 9, 5), [Dense(0)], r"dense 1: units 0 must be at least 1"),
        ((1, 9, 5), [Dense(2), Pool((1, 1))], r"pool 1 comes after a dense layer"),
    ],
)  # fmt: skip
def test_a_layer_that_does_not_fit_is_named(shape, layers, message) -> None:
    with pytest.raises(ConfigError, match=message):
        ConvolutionalNetwork(shape, layers)


def test_depth_is_cut_with_the_pool_of_each_convolution() -> None:
    assert cut(LAYERS) == LAYERS
    assert cut(LAYERS, 1) == (*LAYERS[:2], *LAYERS[4:])
    assert cut(LAYERS, dense=1) == LAYERS[:5]
    assert cut(LAYERS, 0, 0) == ()
    assert names_of(cut(LAYERS, 1, 1)) == ["convolution 1", "pool 1", "dense 1"]
    with pytest.raises(ConfigError, match="3 layers of the kind convolution of a network that has"):
        cut(LAYERS, 3)


@given(scale=st.floats(0.1, 100), shift=st.floats(-50, 50))
@settings(max_examples=20)
def test_the_scale_of_a_standardised_input_does_not_count(scale, shift) -> None:
    torch.manual_seed(1)
    network = ConvolutionalNetwork((2, 10, 6), [Convolution(2, (3, 3)), Dense(4)]).double()
    inputs = torch.rand(5, 2, 10, 6, dtype=torch.float64)

    def computed(values):
        mean, deviation = values.mean((0, 2)), values.std((0, 2))
        network.standardise(mean.unsqueeze(1), deviation.unsqueeze(1))
        return network(values)

    torch.testing.assert_close(computed(scale * inputs + shift), computed(inputs))


def test_a_constant_bin_does_no_harm() -> None:
    network = ConvolutionalNetwork((1, 4, 2), [Dense(2)])
    network.standardise(torch.ones(1, 1, 2), torch.zeros(1, 1, 2))
    assert torch.isfinite(network(torch.ones(3, 1, 4, 2))).all()
    assert network.deviation.eq(1).all()


def test_signals_keep_their_size_through_many_layers() -> None:
    torch.manual_seed(1)
    layers = [*[Convolution(16, (3, 3))] * 6, *[Dense(64)] * 3]
    network = ConvolutionalNetwork((1, 20, 20), layers)
    values = torch.randn(20, 1, 20, 20)
    for name, layer in network.layers.items():
        values = layer(values.flatten(1) if len(network.shapes[name]) == 1 else values)
        if name != "output":
            assert 0.5 < values.std().item() < 3, name
            values = values.relu()


@pytest.mark.slow
def test_the_first_layer_learns_to_tell_a_low_from_a_high_input() -> None:
    torch.manual_seed(1)
    network = ConvolutionalNetwork((1, 8, 8), [Convolution(4, (2, 4)), Pool((7, 1)), Dense(4)])
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    classes = torch.arange(40) % 2
    inputs = torch.rand(40, 1, 8, 8)
    inputs[classes == 0, :, :, :4] += 1
    inputs[classes == 1, :, :, 4:] += 1
    costs = []
    for _ in range(150):
        cost = torch.nn.functional.nll_loss(network(inputs), classes)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
        costs.append(float(cost.detach()))
    assert costs[0] > math.log(2) / 2
    assert costs[-1] < 0.05
