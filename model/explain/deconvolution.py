"""From a layer back to the input: the deconvolution network of Zeiler and Fergus (2014).

Each layer is passed backwards: maxima go to the places that the switches of the pool name, values
are rectified where the layer rectifies, and filters are transposed. Without pools and ReLU this is
the adjoint of the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.explain.chain import check_map

if TYPE_CHECKING:
    from model.explain.chain import Chain, Trace


def project(chain: Chain, trace: Trace, name: str, values: Tensor) -> Tensor:
    """Project values of a layer back to the input.

    Parameters
    ----------
    chain : Chain
        The network.
    trace : Trace
        Of the inputs whose switches are used.
    name : str
        The layer.
    values : torch.Tensor
        Of the shape of the layer's maps.

    Returns
    -------
    torch.Tensor [shape=(batch, channels, frames, bins)]
        In units of the standardised input.

    Raises
    ------
    ConfigError
        There is no such layer.
    """
    last = chain.layer(name)
    place = chain.layers.index(last)
    for layer in reversed(chain.layers[: place + 1]):
        if layer.rectified:
            values = torch.relu(values)
        size = trace.sizes[layer.name]
        operation = layer.operation
        if isinstance(operation, nn.MaxPool2d):
            values = nn.functional.max_unpool2d(
                values, trace.switches[layer.name], _pair(operation.kernel_size),
                _pair(operation.stride), output_size=list(size),
            )  # fmt: skip
        elif isinstance(operation, nn.Linear):
            values = (values @ operation.weight.detach()).view(size)
        else:
            values = _transposed(operation, values, size)
    return values


def only(maps: Tensor, number: int) -> Tensor:
    """Return the maps of a layer with all but one set to 0.

    Raises
    ------
    ConfigError
        There is no map of this number.
    """
    check_map("the layer", number, maps.shape[1])
    kept = torch.zeros_like(maps)
    kept[:, number] = maps[:, number]
    return kept


def _transposed(layer: nn.Conv2d, values: Tensor, size: torch.Size) -> Tensor:
    """Apply the transposed filters of a convolution."""
    stride, padding, kernel = _pair(layer.stride), _pair(layer.padding), _pair(layer.kernel_size)
    # Cells at the end of the input that no filter reaches, because the stride steps over them.
    rest = [
        size[2 + axis] - ((values.shape[2 + axis] - 1) * stride[axis] - 2 * padding[axis]
                          + kernel[axis])
        for axis in (0, 1)
    ]  # fmt: skip
    return nn.functional.conv_transpose2d(
        values, layer.weight.detach(), None, stride, padding, (rest[0], rest[1]), layer.groups
    )


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, tuple):
        return int(value[0]), int(value[1])
    assert isinstance(value, int)
    return value, value
