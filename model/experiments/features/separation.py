"""Harmonic and percussive parts of the constant-Q transform, as two channels.

D. Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010: a median along
time keeps what lasts, a median along frequency keeps what is broad, and soft masks of both divide
the magnitudes. With the filters and masks of `librosa.decompose.hpss`, here for batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from model.experiments.features.base import WINDOW, Feature
from model.experiments.features.cqt import CQT_HOP, constant_q
from model.frontend.compression import compress
from model.spec import BINS_PER_OCTAVE, COMPRESSION, FMIN_HZ, N_BINS

if TYPE_CHECKING:
    from torch import Tensor

LENGTH = 31  # frames, 0.7 s, and bins, 1.3 octaves: librosa's default
_TINY = torch.finfo(torch.float32).tiny


class HarmonicPercussive(Feature):
    """Compressed magnitudes of the harmonic and of the percussive part of the CQT."""

    def __init__(self) -> None:
        super().__init__("cqt-separated", (2, 1 + WINDOW // CQT_HOP, N_BINS))
        self.transform = constant_q(CQT_HOP, FMIN_HZ, N_BINS, BINS_PER_OCTAVE)

    def compute(self, windows: Tensor) -> Tensor:
        magnitudes: Tensor = self.transform(windows, normalization_type="wrap")
        parts = torch.stack(separate(magnitudes.transpose(1, 2)), dim=1)
        return compress(parts, COMPRESSION)


def separate(magnitudes: Tensor) -> tuple[Tensor, Tensor]:
    """Divide magnitudes into a harmonic and a percussive part.

    Parameters
    ----------
    magnitudes : torch.Tensor [shape=(batch, frames, bins)]
        At least 0; `LENGTH` // 2 frames and bins at least.

    Returns
    -------
    harmonic, percussive : torch.Tensor [shape=(batch, frames, bins)]
        At least 0; their sum is `magnitudes`.
    """
    lasting = _median(magnitudes.transpose(1, 2)).transpose(1, 2)
    broad = _median(magnitudes)
    largest = torch.maximum(lasting, broad).clamp(min=_TINY)
    harmonic, percussive = (lasting / largest) ** 2, (broad / largest) ** 2
    total = harmonic + percussive
    # Where both are nothing, each gets half.
    share = torch.where(total > 0, harmonic / total.clamp(min=_TINY), 0.5)
    return magnitudes * share, magnitudes * (1 - share)


def _median(values: Tensor) -> Tensor:
    """Return medians of `LENGTH` values along the last axis, which is mirrored at its ends."""
    half, count = LENGTH // 2, values.shape[-1]
    # The mirror repeats the outermost value, as scipy's 'reflect' does and torch's does not.
    places = torch.arange(-half, count + half)
    places = torch.where(places < 0, -places - 1, places)
    places = torch.where(places >= count, 2 * count - 1 - places, places)
    around: Tensor = values[..., places].unfold(-1, LENGTH, 1).median(dim=-1).values
    return around
