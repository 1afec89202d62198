"""Which parts of an input an output depends on: integrated gradients, and occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from airsift.errors import ConfigError
from model.experiments.optional import needed

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE = 16  # inputs
STEPS = 64
MOST_STEPS = 512


@dataclass(frozen=True, slots=True)
class Gradients:
    """Integrated gradients of one output.

    Parameters
    ----------
    attributions : torch.Tensor [shape=(channels, frames, bins)]
        What each cell adds to the output.
    output, baseline : float
        The output of the input, and of the baseline.
    steps : int
        Points of the path between them.
    """

    attributions: Tensor
    output: float
    baseline: float
    steps: int

    @property
    def gap(self) -> float:
        """What the sum of the attributions differs from the difference of the outputs by."""
        return float(self.attributions.sum()) - (self.output - self.baseline)


def integrated_gradients(
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    baseline: Tensor,
    target: int,
    tolerance: float = 0.01,
) -> Gradients:
    """Attribute an output to the cells of its input (Sundararajan, Taly and Yan, 2017).

    Their sum is the difference of the outputs. The steps of the path are doubled until it is.

    Parameters
    ----------
    function : callable
        From inputs to outputs [shape=(batch, outputs)].
    inputs, baseline : torch.Tensor [shape=(channels, frames, bins)]
        The path goes from the baseline to the inputs.
    target : int
        The output.
    tolerance : float > 0
        Of the sum, as a share of the difference or of 1, whichever is greater.

    Raises
    ------
    ConfigError
        captum is not installed, or the memory does not suffice.
    """
    captum = needed("captum.attr", "integrated gradients")
    method = captum.IntegratedGradients(function)
    with torch.no_grad():
        ends = function(torch.stack([inputs, baseline]))[:, target].tolist()
    steps = STEPS
    while True:
        try:
            found = method.attribute(
                inputs[None], baseline[None], target=target, n_steps=steps,
                internal_batch_size=_AT_ONCE,
            )  # fmt: skip
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ConfigError(
                "integrated gradients need more memory than the device has: use --device cpu"
            ) from error
        made = Gradients(found[0].detach().to(inputs.dtype), ends[0], ends[1], steps)
        if abs(made.gap) <= tolerance * max(1.0, abs(ends[0] - ends[1])) or steps >= MOST_STEPS:
            return made
        steps *= 2


def occlusion(
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    baseline: Tensor,
    target: int,
    size: tuple[int, int],
    stride: tuple[int, int],
) -> Tensor:
    """Return what an output loses where a block of the input is replaced (Zeiler and Fergus).

    Parameters
    ----------
    function, inputs, baseline, target
        As for `integrated_gradients`; a block takes its cells from the baseline.
    size, stride : (int, int) > 0
        Of the blocks, in frames and bins. The last ones are cut by the edge.

    Returns
    -------
    torch.Tensor [shape=(ceil(frames / stride), ceil(bins / stride))]
        The output of the input, less that of the input without the block.
    """
    _, frames, bins = inputs.shape
    firsts = [
        (frame, each) for frame in range(0, frames, stride[0]) for each in range(0, bins, stride[1])
    ]
    losses = []
    with torch.no_grad():
        whole = function(inputs[None])[0, target]
        for start in range(0, len(firsts), _AT_ONCE):
            some = firsts[start : start + _AT_ONCE]
            hidden = inputs.expand(len(some), -1, -1, -1).clone()
            for row, (frame, each) in zip(hidden, some, strict=True):
                block = (slice(None), slice(frame, frame + size[0]), slice(each, each + size[1]))
                row[block] = baseline[block]
            losses.append(whole - function(hidden)[:, target])
    return torch.cat(losses).view(-(-frames // stride[0]), -(-bins // stride[1]))
