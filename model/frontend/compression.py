"""Compression of magnitudes, the same for all front ends and features."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def checked_compression(compression: float) -> float:
    """Return the compression if it is finite and not negative.

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
