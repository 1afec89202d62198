from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from airsift.errors import ConfigError
from model.experiments import optional
from model.experiments.architecture import Convolution, ConvolutionalNetwork, Dense, Pool
from model.explain.attribution import integrated_gradients, occlusion

SHAPE = (2, 12, 10)


def network(seed: int) -> ConvolutionalNetwork:
    torch.manual_seed(seed)
    layers = (Convolution(4, (3, 3)), Pool((2, 2)), Convolution(6, (2, 2)), Dense(8))
    return ConvolutionalNetwork(SHAPE, layers).eval()


@pytest.mark.parametrize("seed", range(5))
def test_attributions_add_up_to_the_difference_of_the_outputs(seed: int) -> None:
    pytest.importorskip("captum")
    made = network(seed)
    inputs, baseline = 2 * torch.randn(SHAPE), torch.zeros(SHAPE)
    for target in (0, 1):
        found = integrated_gradients(made, inputs, baseline, target)
        ends = made(torch.stack([inputs, baseline]))[:, target].tolist()
        assert [found.output, found.baseline] == pytest.approx(ends, abs=1e-5)
        assert found.attributions.shape == SHAPE
        difference = ends[0] - ends[1]
        assert float(found.attributions.sum()) == pytest.approx(
            difference, abs=0.01 * max(1.0, abs(difference)) + 1e-4
        )
        assert found.gap == pytest.approx(float(found.attributions.sum()) - difference, abs=1e-4)


def test_of_a_linear_output_they_are_weight_times_input() -> None:
    pytest.importorskip("captum")
    torch.manual_seed(1)
    weights, inputs, baseline = torch.randn(3, *SHAPE).unbind()

    def function(x: Tensor) -> Tensor:
        return (x * weights).sum((1, 2, 3)).unsqueeze(1)

    found = integrated_gradients(function, inputs, baseline, 0)
    torch.testing.assert_close(
        found.attributions, weights * (inputs - baseline), atol=1e-4, rtol=1e-4
    )


def test_without_captum_one_line_names_the_extra(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(ConfigError, match=r"needs captum.attr: `pip install 'airsift\[experi"):
        integrated_gradients(network(0), torch.zeros(SHAPE), torch.zeros(SHAPE), 0)


@given(st.integers(1, 13), st.integers(1, 11), st.integers(1, 12), st.integers(1, 10))
def test_occlusion_of_a_linear_output_is_the_sum_of_the_hidden_block(
    frames: int, bins: int, by_frames: int, by_bins: int
) -> None:
    torch.manual_seed(2)
    weights, inputs, baseline = torch.randn(3, *SHAPE).double().unbind()

    def function(x: Tensor) -> Tensor:
        return (x * weights).sum((1, 2, 3)).unsqueeze(1)

    found = occlusion(function, inputs, baseline, 0, (frames, bins), (by_frames, by_bins))
    assert found.shape == (-(-SHAPE[1] // by_frames), -(-SHAPE[2] // by_bins))
    parts = weights * (inputs - baseline)
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            block = parts[
                :, row * by_frames : row * by_frames + frames,
                column * by_bins : column * by_bins + bins,
            ]  # fmt: skip
            assert float(found[row, column]) == pytest.approx(float(block.sum()), abs=1e-9)


def test_hiding_everything_leaves_the_baseline() -> None:
    made = network(3)
    inputs, baseline = torch.randn(SHAPE), torch.randn(SHAPE)
    found = occlusion(made, inputs, baseline, 1, SHAPE[1:], SHAPE[1:])
    outputs = made(torch.stack([inputs, baseline]))[:, 1]
    assert float(found) == pytest.approx(float((outputs[0] - outputs[1]).detach()), abs=1e-5)
