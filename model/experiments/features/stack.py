"""Features of the same frames and bins as channels, and the delta of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from airsift.errors import ConfigError
from model.experiments.features.base import Feature

if TYPE_CHECKING:
    from collections.abc import Sequence

DELTA_FRAMES = 9  # of the regression; 0.4 s


class Delta(Feature):
    """The slope of a feature along time: a regression over 9 frames, the edges repeated.

    Parameters
    ----------
    of : Feature
        What it is computed from.
    """

    def __init__(self, of: Feature) -> None:
        super().__init__(f"delta-{of.name}", of.shape, of.samples)
        self.of = of

    @property
    def code(self) -> tuple[str, ...]:
        return *super().code, *self.of.code

    def compute(self, windows: Tensor) -> Tensor:
        return delta(self.of(windows))


class Stack(Feature):
    """Several features as channels (Table 4.2).

    Parameters
    ----------
    parts : sequence of Feature
        Of the same frames and bins.

    Raises
    ------
    ConfigError
        Two parts have other frames, bins or windows.
    """

    def __init__(self, parts: Sequence[Feature]) -> None:
        first = parts[0]
        for each in parts[1:]:
            if (each.shape[1:], each.samples) != (first.shape[1:], first.samples):
                raise ConfigError(
                    f"{each.name} of shape {each.shape} cannot be stacked on {first.name} of shape "
                    f"{first.shape}: their frames, bins and windows must be equal"
                )
        channels = sum(each.shape[0] for each in parts)
        name = "+".join(each.name for each in parts)
        super().__init__(name, (channels, *first.shape[1:]), first.samples)
        self.parts = nn.ModuleList(parts)
        self._code = tuple(name for each in parts for name in each.code)

    @property
    def code(self) -> tuple[str, ...]:
        return *super().code, *self._code

    def compute(self, windows: Tensor) -> Tensor:
        return torch.cat([part(windows) for part in self.parts], dim=1)


def delta(values: Tensor) -> Tensor:
    """Return the slope of values [shape=(..., frames, bins)] along the frames, a frame."""
    from torchaudio.functional import compute_deltas

    slopes: Tensor = compute_deltas(values.transpose(-1, -2), win_length=DELTA_FRAMES)
    return slopes.transpose(-1, -2)
