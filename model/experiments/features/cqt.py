"""The constant-Q transform at the report's 216 columns, by nnAudio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.experiments.features.base import HOP, WINDOW, Feature
from model.frontend.compression import compress
from model.spec import BINS_PER_OCTAVE, COMPRESSION, FMIN_HZ, N_BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor, nn

CQT_HOP = 2 * HOP


class CQT(Feature):
    """Compressed magnitudes of 6 octaves, 24 bins an octave, from 80 Hz.

    The shipped network has the same bins at 250 columns in 5 s: see `model.frontend`.
    """

    def __init__(self) -> None:
        super().__init__("cqt", (1, 1 + WINDOW // CQT_HOP, N_BINS))
        self.transform = constant_q(CQT_HOP, FMIN_HZ, N_BINS, BINS_PER_OCTAVE)

    def compute(self, windows: Tensor) -> Tensor:
        # With 'wrap' a sine of amplitude 1 has magnitude 1.
        magnitudes: Tensor = self.transform(windows, normalization_type="wrap")
        return compress(magnitudes, COMPRESSION).transpose(1, 2).unsqueeze(1)


def constant_q(hop: int, fmin_hz: float, bins: int, bins_per_octave: int) -> nn.Module:
    """Return nnAudio's transform with centred frames in silence."""
    # Slow to import.
    from nnAudio.features.cqt import CQT1992v2

    transform: nn.Module = CQT1992v2(
        sr=SAMPLE_RATE, hop_length=hop, fmin=fmin_hz, n_bins=bins,
        bins_per_octave=bins_per_octave, pad_mode="constant", verbose=False,
    )  # fmt: skip
    return transform
