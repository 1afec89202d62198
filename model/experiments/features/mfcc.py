"""Mel-frequency cepstral coefficients, by torchaudio."""

from __future__ import annotations

from torch import Tensor

from model.experiments.features.base import HOP, WINDOW, Feature
from model.spec import SAMPLE_RATE

MFCC_HOP = 4 * HOP
FRAMES = 1 + WINDOW // MFCC_HOP
LENGTH = 1024  # samples: 64 ms
MEL_BANDS, LOWEST_HZ, HIGHEST_HZ = 40, 130.0, 6854.0
COEFFICIENTS = 12  # without the 0th, which is the level


class MFCC(Feature):
    """12 coefficients of 40 mel bands, 130 to 6854 Hz, in frames of 64 ms (Table 4.2)."""

    def __init__(self) -> None:
        from torchaudio import transforms

        super().__init__("mfcc", (1, FRAMES, COEFFICIENTS))
        self.transform = transforms.MFCC(
            SAMPLE_RATE,
            n_mfcc=1 + COEFFICIENTS,
            melkwargs={
                "n_fft": LENGTH, "hop_length": MFCC_HOP, "n_mels": MEL_BANDS,
                "f_min": LOWEST_HZ, "f_max": HIGHEST_HZ, "pad_mode": "constant",
                "mel_scale": "slaney", "norm": "slaney",
            },
        )  # fmt: skip

    def compute(self, windows: Tensor) -> Tensor:
        # With a channel: without one, torchaudio limits the range in dB below the loudest frame of
        # the whole batch, and a window's coefficients would depend on its neighbours.
        coefficients: Tensor = self.transform(windows.unsqueeze(1))[:, :, 1:]
        return coefficients.transpose(2, 3)
