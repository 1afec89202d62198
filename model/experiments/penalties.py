"""Penalties on weights, which experiments 6 and 8 add to the cost.

Each is a function of a matrix: a row for each filter, with all of its weights. With w_ij the weight
j of filter i:

=============  =========================================  ====================================
L1             sum |w_ij|                                 few weights that are not 0
L2             sum w_ij^2                                 small weights
elastic net    a L1 + (1 - a) L2                          between the two
L1/L2          sum |w_ij| / sqrt(sum w_ij^2)              few weights, of any size
L21            sum_i sqrt(sum_j w_ij^2)                   few filters
L12            sqrt(sum_i (sum_j |w_ij|)^2)               few weights in every filter
=============  =========================================  ====================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from model.experiments.architecture import ConvolutionalNetwork


def l1(weights: Tensor) -> Tensor:
    """Return the sum of magnitudes."""
    return weights.abs().sum()


def l2(weights: Tensor) -> Tensor:
    """Return the sum of squares."""
    return weights.square().sum()


def l1_over_l2(weights: Tensor) -> Tensor:
    """Return the ratio of the two norms: 1 for one weight, sqrt(n) for n equal ones, 0 for zeros.

    It does not change with the scale of the weights.
    """
    # The gradient of torch's norm is 0 at 0. The smallest number keeps 0 / 0 away and nothing else.
    norm: Tensor = torch.linalg.vector_norm(weights)
    return l1(weights) / norm.clamp_min(torch.finfo(weights.dtype).tiny)


def l21(weights: Tensor) -> Tensor:
    """Return the sum over filters of their Euclidean norms."""
    norms: Tensor = torch.linalg.vector_norm(weights, dim=1)
    return norms.sum()


def l12(weights: Tensor) -> Tensor:
    """Return the Euclidean norm over filters of their sums of magnitudes."""
    norm: Tensor = torch.linalg.vector_norm(weights.abs().sum(dim=1))
    return norm


def elastic_net(weights: Tensor, share: float) -> Tensor:
    """Return a mean of `l1` and `l2`; `share` in [0, 1] is that of `l1`."""
    return share * l1(weights) + (1 - share) * l2(weights)


ELASTIC_NET = "elastic net"
PENALTIES: dict[str, Callable[[Tensor], Tensor]] = {
    "L1": l1,
    "L2": l2,
    "L1/L2": l1_over_l2,
    "L21": l21,
    "L12": l12,
}


@dataclass(frozen=True, slots=True)
class Penalty:
    """A penalty of some layers.

    Parameters
    ----------
    kind : str
        One of `PENALTIES`, or 'elastic net'.
    strengths : mapping of str to float >= 0
        Name of a layer to the factor of its penalty.
    share : float in [0, 1]
        Of L1 in an elastic net.

    Raises
    ------
    ConfigError
        The kind is unknown, or a value is out of range.
    """

    kind: str
    strengths: Mapping[str, float]
    share: float = 0.5

    def __post_init__(self) -> None:
        kinds = (*PENALTIES, ELASTIC_NET)
        if self.kind not in kinds:
            raise ConfigError(f"penalty={self.kind!r} is unknown: use one of {', '.join(kinds)}")
        for layer, strength in self.strengths.items():
            if not 0 <= strength < float("inf"):
                raise ConfigError(
                    f"strength={strength} of {self.kind} on {layer} must be finite and at least 0"
                )
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share={self.share} of L1 in an elastic net must be in [0, 1]")

    def __call__(self, weights: Tensor) -> Tensor:
        """Return the penalty of a matrix of weights, without a strength."""
        if self.kind == ELASTIC_NET:
            return elastic_net(weights, self.share)
        return PENALTIES[self.kind](weights)


def total(network: ConvolutionalNetwork, penalties: Sequence[Penalty]) -> Tensor:
    """Return the sum of all penalties of a network, each with its strength.

    Raises
    ------
    ConfigError
        A layer does not exist, or has no weights.
    """
    costs = network.mean.new_zeros(())
    for penalty in penalties:
        for layer, strength in penalty.strengths.items():
            costs = costs + strength * penalty(network.weights(layer))
    return costs
