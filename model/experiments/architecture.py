"""Convolutional networks of the report, described by their layers.

A description is checked when a network is built: a layer that does not fit its input is refused by
its name, its size and the rule, before any training.

::

    (channels, frames, bins) -> standardised -> convolution + ReLU | pool ... -> flatten
                             -> dense + ReLU ... -> dense of the classes -> log softmax
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.experiments.features.base import Shape

# A whole number of cells, or a share of the layer's input that is at least one cell. With shares,
# the same network takes 12, 144 and 700 bins, as Table 4.6 needs it.
Extent = int | float
OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution without padding, and ReLU.

    Parameters
    ----------
    maps : int > 0
        Filters.
    size, stride : tuple of Extent
        Along frames and bins.
    """

    maps: int
    size: tuple[Extent, Extent]
    stride: tuple[Extent, Extent] = (1, 1)


@dataclass(frozen=True, slots=True)
class Pool:
    """The maximum of each block; an incomplete block at the end is left out.

    Parameters
    ----------
    size : tuple of Extent
        Along frames and bins.
    """

    size: tuple[Extent, Extent]


@dataclass(frozen=True, slots=True)
class Dense:
    """A layer that is connected to all of its input, and ReLU.

    Parameters
    ----------
    units : int > 0
        Outputs.
    """

    units: int


Layer = Convolution | Pool | Dense
_NAMES = {Convolution: "convolution", Pool: "pool", Dense: "dense"}


def names_of(layers: Sequence[Layer]) -> list[str]:
    """Return the name of each layer: its kind, and a number from 1 on for each kind."""
    seen: Counter[str] = Counter()
    names = []
    for each in layers:
        kind = _NAMES[type(each)]
        seen[kind] += 1
        names.append(f"{kind} {seen[kind]}")
    return names


def cut(
    layers: Sequence[Layer], convolutions: int | None = None, dense: int | None = None
) -> tuple[Layer, ...]:
    """Keep the first layers of a network, for another depth (experiment 4).

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    convolutions, dense : int >= 0, optional
        How many of them to keep; default: all. A pool stays with the convolution before it.

    Raises
    ------
    ConfigError
        The network has fewer.
    """
    limits = {Convolution: convolutions, Dense: dense}
    for kind, limit in limits.items():
        there = sum(isinstance(each, kind) for each in layers)
        if limit is not None and limit > there:
            raise ConfigError(
                f"{limit} layers of the kind {_NAMES[kind]} of a network that has {there}: ask for "
                f"at most {there}, or describe a deeper network"
            )
    kept: list[Layer] = []
    seen: Counter[type[Layer]] = Counter()
    for each in layers:
        # A pool counts as part of the convolution before it.
        kind = Convolution if isinstance(each, Pool) else type(each)
        seen[kind] += not isinstance(each, Pool)
        limit = limits[kind]
        if limit is None or seen[kind] <= limit:
            kept.append(each)
    return tuple(kept)


class ConvolutionalNetwork(nn.Module):
    """A network of the report.

    Parameters
    ----------
    shape : tuple of int
        Channels, frames and bins of its input.
    layers : sequence of Layer
        In order; dense layers are the last ones.
    classes : int > 1
        Outputs.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Shape after each layer, by its name.

    Raises
    ------
    ConfigError
        A layer does not fit its input.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Shape, layers: Sequence[Layer], classes: int = 2) -> None:
        super().__init__()
        channels, _, bins = shape
        self.register_buffer("mean", torch.zeros(channels, 1, bins))
        self.register_buffer("deviation", torch.ones(channels, 1, bins))
        self.layers = nn.ModuleDict()
        self.shapes: dict[str, tuple[int, ...]] = {}
        current: tuple[int, ...] = shape
        for name, layer in zip(names_of(layers), layers, strict=True):
            current = self._add(name, layer, current)
        self._put(OUTPUT, nn.Linear(_cells(current), classes), (classes,))

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Set the mean and the standard deviation of the training inputs.

        Parameters
        ----------
        mean, deviation : torch.Tensor [shape=(channels, 1, bins)]
            Of each channel and bin. A deviation of 0 counts as 1.
        """
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute log probabilities [shape=(batch, classes)].

        Parameters
        ----------
        inputs : torch.Tensor [shape=(batch, channels, frames, bins)]
        """
        values = (inputs - self.mean) / self.deviation
        for name, layer in self.layers.items():
            if isinstance(layer, nn.Linear):
                values = values.flatten(1)
            values = layer(values)
            if name != OUTPUT and not isinstance(layer, nn.MaxPool2d):
                values = torch.relu(values)
        return torch.log_softmax(values, dim=1)

    def weights(self, name: str) -> Tensor:
        """Return the weights of a layer as a matrix [shape=(filters, inputs of a filter)].

        Raises
        ------
        ConfigError
            There is no such layer, or it has no weights.
        """
        layer = dict(self.layers.items()).get(name)
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            there = [key for key, each in self.layers.items() if not isinstance(each, nn.MaxPool2d)]
            raise ConfigError(f"layer={name!r} has no weights: use one of {', '.join(there)}")
        return layer.weight.flatten(1)

    def _add(self, name: str, layer: Layer, before: tuple[int, ...]) -> tuple[int, ...]:
        """Add a layer; return the shape after it."""
        if isinstance(layer, Dense):
            _positive(name, "units", layer.units)
            return self._put(name, nn.Linear(_cells(before), layer.units), (layer.units,))
        if len(before) != 3:
            raise ConfigError(f"{name} comes after a dense layer: dense layers must be the last")
        channels, *axes = before
        size = _extents(name, "size", layer.size, axes)
        if isinstance(layer, Pool):
            pool = nn.MaxPool2d(size)
            return self._put(name, pool, (channels, axes[0] // size[0], axes[1] // size[1]))
        _positive(name, "maps", layer.maps)
        stride = _extents(name, "stride", layer.stride, axes)
        frames, bins = ((n - s) // step + 1 for n, s, step in zip(axes, size, stride, strict=True))
        convolution = nn.Conv2d(channels, layer.maps, size, stride=stride)
        return self._put(name, convolution, (layer.maps, frames, bins))

    def _put(self, name: str, layer: nn.Module, after: tuple[int, ...]) -> tuple[int, ...]:
        if name != OUTPUT and isinstance(layer, nn.Conv2d | nn.Linear):
            # He initialisation: with torch's, signals fade from layer to layer, and plain gradient
            # descent spends its first epochs at chance.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        self.layers[name] = layer
        self.shapes[name] = after
        return after


def _cells(shape: tuple[int, ...]) -> int:
    cells = 1
    for each in shape:
        cells *= each
    return cells


def _extents(
    name: str, what: str, extents: tuple[Extent, Extent], axes: Sequence[int]
) -> tuple[int, int]:
    """Return an extent along frames and bins in cells, if it fits the axes."""
    found = []
    for extent, cells, axis in zip(extents, axes, ("frames", "bins"), strict=True):
        if isinstance(extent, float):
            if not 0 < extent <= 1:
                raise ConfigError(
                    f"{name}: {what} {extent} of the {axis} must be a share in (0, 1]; write a "
                    "whole number for cells"
                )
            found.append(max(1, round(extent * cells)))
            continue
        _positive(name, what, extent)
        if extent > cells:
            raise ConfigError(
                f"{name}: {what} {extent} is more than the {cells} {axis} of its input: make it "
                f"at most {cells}, or pool less before it"
            )
        found.append(extent)
    return found[0], found[1]


def _positive(name: str, what: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name}: {what} {value} must be at least 1")
