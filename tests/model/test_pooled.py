from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.networks.inference import inference_form
from model.networks.pooled import Network
from tests.examples import examples


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@examples(8)
@given(first=st.integers(0, 20), length=st.integers(4, 30))
def test_a_frame_depends_on_its_own_columns_only(first: int, length: int) -> None:
    torch.manual_seed(0)
    network = Network().eval()
    columns = torch.rand(1, 500, 144) * 12
    start, end = first * network.stride, (first + length) * network.stride
    with torch.inference_mode():
        whole = network.embed(columns)
        part = network.embed(columns[:, start:end])
    assert part.shape[1] == (end - start - network.context) // network.stride + 1
    torch.testing.assert_close(part, whole[:, first : first + part.shape[1]], atol=1e-4, rtol=1e-4)


def test_a_window_alone_is_predicted_as_in_a_batch(network: Network) -> None:
    columns = torch.rand(3, 250, 144) * 12
    with torch.inference_mode():
        together = network.decide(network.embed(columns))
        alone = network.decide(network.embed(columns[1:2]))
    torch.testing.assert_close(alone[0], together[1], atol=1e-4, rtol=1e-4)


def test_probabilities_are_two_and_independent(network: Network) -> None:
    with torch.inference_mode():
        both = network.decide(torch.randn(64, 22, network.frame_size) * 20)
    assert both.shape == (64, 2)
    assert float(both.min()) >= 0.0
    assert float(both.max()) <= 1.0
    assert not torch.allclose(both.sum(dim=1), torch.ones(64), atol=0.05)


def test_silence_and_the_loudest_columns_give_finite_answers(network: Network) -> None:
    extremes = torch.stack([torch.zeros(250, 144), torch.full((250, 144), 14.0)])
    with torch.inference_mode():
        assert torch.isfinite(network(extremes)).all()


def test_it_is_small() -> None:
    assert sum(values.numel() for values in Network().parameters()) <= 400_000


@pytest.mark.parametrize("refine", [0, 1, 2])
def test_the_exported_form_is_the_same_function(refine: int) -> None:
    """Whatever its layers learned, and for windows of any length."""
    torch.manual_seed(refine)
    network = Network(maps=(4, 8, 12, 16), frame_size=24, hidden=8, refine=refine)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias)
    network(torch.rand(8, 250, 144) * 12)  # statistics as after training
    network.temperature.copy_(torch.tensor([1.5, 0.7]))
    form = inference_form(network.eval())
    columns = torch.rand(3, 250, 144) * 12
    with torch.inference_mode():
        frames = network.embed(columns)
        torch.testing.assert_close(form.embed(columns), frames, atol=1e-4, rtol=1e-4)
        for count in (1, 2, 5, 21, 22):
            expected = network.decide(frames[:, :count])
            torch.testing.assert_close(form.decide(frames[:, :count]), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(form.predict(frames), network.predict(frames), atol=1e-5, rtol=0)
