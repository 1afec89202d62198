"""What every front end does at its edges: count the columns, check the state, compress."""

from __future__ import annotations

from math import isfinite

from torch import Tensor

from airsift.errors import ConfigError

State = dict[str, Tensor]

COMPRESSION = 10_000.0
# Columns that are computed together, in a row of a unit (see `model.units`): 1 s, the step between
# two decisions, so that live audio waits for no more.
COLUMNS = 50


def checked_compression(compression: float) -> float:
    """Return the compression if it is a number that `compress` can use.

    Raises
    ------
    ConfigError
        It is negative or not finite.
    """
    if not (isfinite(compression) and compression >= 0):
        raise ConfigError(
            f"compression={compression} must be a finite number >= 0; 0 switches it off"
        )
    return compression


def compress(magnitude: Tensor, compression: float) -> Tensor:
    """``log2(1 + compression * magnitude)``, or the magnitude itself for a compression of 0."""
    return (magnitude * compression).add_(1.0).log2_() if compression else magnitude


def columns_in(samples: Tensor, history: Tensor, hop: int) -> int:
    """Count the columns that a call's samples complete.

    Raises
    ------
    ValueError
        The samples are not a batch of whole hops, or the history is of another batch.
    """
    if samples.ndim != 2:
        raise ValueError(f"samples.shape={tuple(samples.shape)} must be (batch, n): add a batch")
    if samples.shape[1] % hop:
        raise ValueError(
            f"samples.shape[1]={samples.shape[1]} must be a multiple of hop={hop}: "
            "keep the rest for the next call"
        )
    if len(history) != len(samples):
        raise ValueError(
            f"samples of {len(samples)} stations and a state of {len(history)} must be one "
            "batch: start with initial_state(batch)"
        )
    return samples.shape[1] // hop
