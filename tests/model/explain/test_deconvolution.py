from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from airsift.errors import ConfigError
from model.explain.chain import Chain, Layer, Trace, named
from model.explain.deconvolution import only, project


def chain_of(shape: tuple[int, int, int], *operations: nn.Module) -> Chain:
    mean = torch.zeros(shape[0], 1, shape[2])
    return Chain(shape, mean, torch.ones_like(mean), named(operations))


def inner(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum())


@st.composite
def linear_chains(draw: st.DrawFn) -> Chain:
    """Draw convolutions of any size, stride, padding and groups, and a dense layer or none."""
    torch.manual_seed(draw(st.integers(0, 99)))
    channels, frames, bins = draw(st.integers(1, 3)), 17, 19
    shape = (channels, frames, bins)
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.tuples(st.integers(1, min(4, frames)), st.integers(1, min(4, bins))))
        stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
        padding = draw(st.tuples(st.integers(0, size[0] // 2), st.integers(0, size[1] // 2)))
        groups = draw(st.sampled_from([1, channels]))
        maps = groups * draw(st.integers(1, 3))
        layers.append(nn.Conv2d(channels, maps, size, stride, padding, groups=groups, bias=False))
        channels = maps
        frames = (frames + 2 * padding[0] - size[0]) // stride[0] + 1
        bins = (bins + 2 * padding[1] - size[1]) // stride[1] + 1
    if draw(st.booleans()):
        layers.append(nn.Linear(channels * frames * bins, 5, bias=False))
    return chain_of(shape, *(layer.double() for layer in layers))


@given(linear_chains(), st.integers(0, 99))
@settings(max_examples=60)
def test_of_a_linear_network_it_is_the_adjoint(chain: Chain, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, *chain.shape, dtype=torch.float64)
    last = chain.names[-1]
    with torch.no_grad():
        trace = chain.trace(x)
        y = torch.randn_like(trace.maps[last])
        back = project(chain, trace, last, y)
    assert back.shape == x.shape
    forward, backward = inner(trace.maps[last], y), inner(x, back)
    assert forward == pytest.approx(backward, rel=1e-9, abs=1e-9)


def test_maxima_go_back_to_where_they_came_from() -> None:
    torch.manual_seed(1)
    # Neither axis is a whole number of blocks.
    x = torch.randn(1, 2, 7, 9)
    chain = chain_of((2, 7, 9), nn.MaxPool2d((2, 4)))
    trace = chain.trace(x)
    back = project(chain, trace, "pool 1", trace.maps["pool 1"])
    there = back != 0
    assert int(there.sum()) == 2 * 3 * 2
    assert torch.equal(back[there], x[there])
    blocks = x[:, :, :6, :8].unfold(2, 2, 2).unfold(3, 4, 4).amax((4, 5))
    assert torch.equal(back[:, :, :6, :8].unfold(2, 2, 2).unfold(3, 4, 4).sum((4, 5)), blocks)


def test_values_are_rectified_where_the_layer_rectifies() -> None:
    one = nn.Conv2d(1, 1, 1, bias=False)
    one.weight.data.fill_(2.0)
    x = torch.zeros(1, 1, 2, 2)
    values = torch.tensor([[[[1.0, -1.0], [3.0, -5.0]]]])
    linear, rectified = chain_of((1, 2, 2), one), chain_of((1, 2, 2), one, nn.ReLU())
    back = project(linear, linear.trace(x), "convolution 1", values)
    assert back.flatten().tolist() == [2, -2, 6, -10]
    back = project(rectified, rectified.trace(x), "convolution 1", values)
    assert back.flatten().tolist() == [2, 0, 6, 0]


def test_an_early_layer_is_projected_through_the_layers_before_it_only() -> None:
    torch.manual_seed(2)
    first, second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3)
    whole, short = (
        chain_of((1, 8, 8), first, nn.ReLU(), second),
        chain_of((1, 8, 8), first, nn.ReLU()),
    )
    x = torch.randn(1, 1, 8, 8)
    traces: list[Trace] = [whole.trace(x), short.trace(x)]
    backs = [
        project(chain, trace, "convolution 1", trace.maps["convolution 1"])
        for chain, trace in zip((whole, short), traces, strict=True)
    ]
    assert torch.equal(*backs)


def test_one_map_at_a_time_adds_up_to_all_of_a_linear_layer() -> None:
    torch.manual_seed(3)
    chain = chain_of((1, 6, 6), nn.Conv2d(1, 4, 3))
    x = torch.randn(1, 1, 6, 6)
    trace = chain.trace(x)
    maps = trace.maps["convolution 1"]
    parts = [project(chain, trace, "convolution 1", only(maps, number)) for number in range(4)]
    whole = project(chain, trace, "convolution 1", maps)
    torch.testing.assert_close(sum(parts), whole)


def test_unknown_layers_and_maps_are_refused_in_one_line() -> None:
    chain = chain_of((1, 6, 6), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    trace = chain.trace(torch.zeros(1, 1, 6, 6))
    with pytest.raises(ConfigError, match=r"layer='dense 1' is unknown: use one of convolution 1"):
        project(chain, trace, "dense 1", trace.maps["pool 1"])
    with pytest.raises(ConfigError, match=r"map=4 .*it has 4, from 0 to 3"):
        only(trace.maps["pool 1"], 4)
    with pytest.raises(ConfigError, match="a network with Tanh cannot be explained"):
        named([nn.Conv2d(1, 1, 1), nn.Tanh()])


def test_layers_have_names_and_their_relu() -> None:
    made = named([nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)])
    assert [(each.name, each.rectified) for each in made] == [
        ("convolution 1", True), ("pool 1", False), ("dense 1", False),
    ]  # fmt: skip
    assert isinstance(made[0], Layer)
