"""A network as a chain of layers, run one by one, with all that each computes kept.

Both kinds of networks are brought into this form: those of the experiments, and the part of an
exported one that turns columns into frames. A layer is a convolution, the maximum of blocks or a
dense layer, and ReLU where it has one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Operation = nn.Conv2d | nn.MaxPool2d | nn.Linear
_KINDS: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution", nn.MaxPool2d: "pool", nn.Linear: "dense",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Parameters
    ----------
    name : str
        Its kind, and a number from 1 on for each kind.
    operation : nn.Module
        A dense layer flattens its input.
    rectified : bool
        Whether ReLU follows.
    """

    name: str
    operation: Operation
    rectified: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """What a chain computed of some inputs.

    Parameters
    ----------
    sizes : dict of str to torch.Size
        Shape of the input of each layer.
    maps : dict of str to torch.Tensor
        Output of each layer [shape=(batch, maps, frames, bins)], or (batch, units) of a dense one.
    switches : dict of str to torch.Tensor
        For each pool, which place of the input each maximum is from.
    """

    sizes: dict[str, torch.Size]
    maps: dict[str, Tensor]
    switches: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers that follow one another, on standardised inputs.

    Parameters
    ----------
    shape : tuple of int
        Channels, frames and bins of an input.
    mean, deviation : torch.Tensor [shape=(channels, 1, bins)]
        An input is standardised by them.
    layers : tuple of Layer
        From the input on.
    """

    shape: tuple[int, int, int]
    mean: Tensor
    deviation: Tensor
    layers: tuple[Layer, ...]

    @property
    def names(self) -> list[str]:
        """Names of the layers, in order."""
        return [each.name for each in self.layers]

    def standardised(self, inputs: Tensor) -> Tensor:
        """Return inputs in units of their deviation."""
        return (inputs - self.mean) / self.deviation

    def trace(self, inputs: Tensor, *, until: str | None = None) -> Trace:
        """Run the layers, up to one of them.

        Parameters
        ----------
        inputs : torch.Tensor [shape=(batch, channels, frames, bins)]
            Not standardised.
        until : str, optional
            Name of the last layer to run; default: the last one.
        """
        trace = Trace({}, {}, {})
        values = self.standardised(inputs)
        for layer in self.layers:
            trace.sizes[layer.name] = values.shape
            if isinstance(layer.operation, nn.MaxPool2d):
                pool = layer.operation
                values, switches = nn.functional.max_pool2d(
                    values, pool.kernel_size, pool.stride, return_indices=True
                )
                trace.switches[layer.name] = switches
            else:
                flat = isinstance(layer.operation, nn.Linear)
                values = layer.operation(values.flatten(1) if flat else values)
            if layer.rectified:
                values = torch.relu(values)
            trace.maps[layer.name] = values
            if layer.name == until:
                break
        return trace

    def layer(self, name: str) -> Layer:
        """Return a layer by its name.

        Raises
        ------
        ConfigError
            There is none.
        """
        found = next((each for each in self.layers if each.name == name), None)
        if found is None:
            raise ConfigError(f"layer={name!r} is unknown: use one of {', '.join(self.names)}")
        return found

    @property
    def filters(self) -> Tensor | None:
        """Filters of the first layer [shape=(filters, channels, frames, bins)], if it has some."""
        first = self.layers[0].operation
        return first.weight.detach() if isinstance(first, nn.Conv2d) else None


def check_map(name: str, number: int, count: int) -> None:
    """Refuse a map that a layer with `count` of them does not have.

    Raises
    ------
    ConfigError
        There is no map of this number.
    """
    if not 0 <= number < count:
        raise ConfigError(
            f"map={number} of {name} is unknown: it has {count}, from 0 to {count - 1}"
        )


def named(operations: Iterable[nn.Module]) -> tuple[Layer, ...]:
    """Return modules that follow one another as layers: each with its name and its ReLU.

    Raises
    ------
    ConfigError
        There is a module that is no layer.
    """
    modules: Sequence[nn.Module] = [
        each for each in operations if not isinstance(each, nn.Flatten | nn.Dropout)
    ]
    seen: Counter[str] = Counter()
    found = []
    for place, module in enumerate(modules):
        if isinstance(module, nn.ReLU):
            continue
        if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            raise ConfigError(
                f"a network with {type(module).__name__} cannot be explained: its layers must be "
                "convolutions, pools and dense ones"
            )
        kind = _KINDS[type(module)]
        seen[kind] += 1
        following = modules[place + 1] if place + 1 < len(modules) else None
        found.append(Layer(f"{kind} {seen[kind]}", module, isinstance(following, nn.ReLU)))
    return tuple(found)
